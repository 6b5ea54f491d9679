// Shared by all forms of border_sum: the geometry.

struct BorderParams {
    outer: u32,
    length: u32,
    inner: u32,
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: BorderParams;

// The places of a class: how many, and where the first one's values begin.
struct Class {
    places: u32,
    first: u32,
}

fn class_of(outer: u32, class_row: u32) -> Class {
    let coarse = params.length / params.stride;
    let place = class_row / params.stride;
    let phase = class_row - place * params.stride;
    // Places 0, 1 and 2 stand for the first coarse position, those between, and the last.
    let first = select(select(coarse - 1u, 1u, place == 1u), 0u, place == 0u);
    let end = select(select(coarse, coarse - 1u, place == 1u), 1u, place == 0u);
    let row = outer * params.length + first * params.stride + phase;
    return Class(end - min(first, end), row * params.inner);
}
