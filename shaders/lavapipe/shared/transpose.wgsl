// Shared by the forms for lavapipe whose rows become columns: 8 x 8 values transposed among eight lanes.

// Exchanges halves of two rows between lanes that are `step` apart: the lower lane keeps its part of the first.
fn exchange(rows: vec2<f32>, lane: u32, step: u32) -> vec2<f32> {
    let upper = (lane & step) != 0u;
    let other = subgroupShuffle(select(rows.y, rows.x, upper), lane ^ step);
    return select(vec2<f32>(rows.x, other), vec2<f32>(other, rows.y), upper);
}

// The eight rows that the lanes hold as columns.
fn transpose8(values: Eight, lane: u32) -> Eight {
    let a = exchange(values.low.xy, lane, 1u);
    let b = exchange(values.low.zw, lane, 1u);
    let c = exchange(values.high.xy, lane, 1u);
    let d = exchange(values.high.zw, lane, 1u);
    let first = exchange(vec2<f32>(a.x, b.x), lane, 2u);
    let second = exchange(vec2<f32>(a.y, b.y), lane, 2u);
    let third = exchange(vec2<f32>(c.x, d.x), lane, 2u);
    let fourth = exchange(vec2<f32>(c.y, d.y), lane, 2u);
    let e = exchange(vec2<f32>(first.x, third.x), lane, 4u);
    let f = exchange(vec2<f32>(second.x, fourth.x), lane, 4u);
    let g = exchange(vec2<f32>(first.y, third.y), lane, 4u);
    let h = exchange(vec2<f32>(second.y, fourth.y), lane, 4u);
    return Eight(vec4<f32>(e.x, f.x, g.x, h.x), vec4<f32>(e.y, f.y, g.y, h.y));
}
