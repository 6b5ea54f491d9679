// Shared by the forms for subgroups of exactly eight invocations.

// Eight pixels, or eight rows or columns of the weight; the lanes hold their channels.
struct Eight {
    low: vec4<f32>,
    high: vec4<f32>,
}

// Zero for the pixels whose lane holds false.
fn keep(values: Eight, valid: bool) -> Eight {
    let mask = select(0u, 0xffffffffu, valid);
    let low = vec4<u32>(
        subgroupBroadcast(mask, 0u),
        subgroupBroadcast(mask, 1u),
        subgroupBroadcast(mask, 2u),
        subgroupBroadcast(mask, 3u),
    );
    let high = vec4<u32>(
        subgroupBroadcast(mask, 4u),
        subgroupBroadcast(mask, 5u),
        subgroupBroadcast(mask, 6u),
        subgroupBroadcast(mask, 7u),
    );
    return Eight(
        bitcast<vec4<f32>>(bitcast<vec4<u32>>(values.low) & low),
        bitcast<vec4<f32>>(bitcast<vec4<u32>>(values.high) & high),
    );
}
