// Shared by the forms for subgroups of exactly eight invocations and 64-bit integers.
//
// On lavapipe a fetch is taken apart lane by lane, each with its own tests, whatever its width: one of four 64-bit words
// costs little more than two of 32 bits. So these forms see their tensors, whose rows are multiples of eight values
// long, as 64-bit integers, and a lane fetches or stores eight values at a time.

// Eight values of a row; eight lanes hold eight rows.
struct Eight {
    low: vec4<f32>,
    high: vec4<f32>,
}

fn two(word: u64) -> vec2<f32> {
    return vec2<f32>(bitcast<f32>(u32(word)), bitcast<f32>(u32(word >> 32u)));
}

fn word(values: vec2<f32>) -> u64 {
    return u64(bitcast<u32>(values.x)) | (u64(bitcast<u32>(values.y)) << 32u);
}

fn unpack(words: vec4<u64>) -> Eight {
    return Eight(vec4<f32>(two(words.x), two(words.y)), vec4<f32>(two(words.z), two(words.w)));
}

fn pack(values: Eight) -> vec4<u64> {
    return vec4<u64>(word(values.low.xy), word(values.low.zw), word(values.high.xy), word(values.high.zw));
}

fn unpack_four(words: vec2<u64>) -> vec4<f32> {
    return vec4<f32>(two(words.x), two(words.y));
}

fn pack_four(values: vec4<f32>) -> vec2<u64> {
    return vec2<u64>(word(values.xy), word(values.zw));
}

fn plus(a: Eight, b: Eight) -> Eight {
    return Eight(a.low + b.low, a.high + b.high);
}

fn minus(a: Eight, b: Eight) -> Eight {
    return Eight(a.low - b.low, a.high - b.high);
}

fn times(a: Eight, factor: f32) -> Eight {
    return Eight(factor * a.low, factor * a.high);
}

fn plus_times(a: Eight, b: Eight, factor: f32) -> Eight {
    return Eight(a.low + factor * b.low, a.high + factor * b.high);
}

// Zero in the lanes that hold false.
fn keep(values: Eight, valid: bool) -> Eight {
    return Eight(select(vec4<f32>(), values.low, valid), select(vec4<f32>(), values.high, valid));
}
