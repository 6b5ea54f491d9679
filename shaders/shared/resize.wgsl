// Shared by resize and resize_gradient: which pixels a position of the result reads. src/graph/resize.rs says how the
// fractions come about; src/kernels/params.rs says more about the fields.

struct ResizeParams {
    batch: u32,
    channels: u32,
    height: u32,
    width: u32,
    to_height: u32,
    to_width: u32,
    row_multiply: u32,
    row_add: i32,
    row_divide: u32,
    column_multiply: u32,
    column_add: i32,
    column_divide: u32,
    linear: u32,
}

@group(0) @binding(0) var<uniform> params: ResizeParams;

// Two neighbours, and the part that the second has.
struct Taps {
    first: u32,
    second: u32,
    weight: f32,
}

fn taps(position: u32, multiply: u32, add: i32, divide: u32, length: u32) -> Taps {
    let place = u32(max(i32(position * multiply) + add, 0));
    let first = min(place / divide, length - 1u);
    let rest = place - first * divide;
    if params.linear == 0u || rest == 0u || first == length - 1u {
        return Taps(first, first, 0.0);
    }
    return Taps(first, first + 1u, f32(rest) / f32(divide));
}

fn row_taps(row: u32) -> Taps {
    return taps(row, params.row_multiply, params.row_add, params.row_divide, params.height);
}

fn column_taps(column: u32) -> Taps {
    return taps(column, params.column_multiply, params.column_add, params.column_divide, params.width);
}

// The part that a pixel has of a position.
fn part(t: Taps, pixel: u32) -> f32 {
    return select(0.0, 1.0 - t.weight, t.first == pixel) + select(0.0, t.weight, t.second == pixel);
}

// The first position that may read a pixel, and the one behind the last.
fn readers(pixel: u32, multiply: u32, add: i32, divide: u32, length: u32, to: u32) -> vec2<u32> {
    let step = i32(max(multiply, 1u));
    var first = 0;
    if pixel > 0u {
        first = max((i32((pixel - 1u) * divide) - add) / step, 0);
    }
    var end = i32(to);
    if pixel + 1u < length {
        end = min((i32((pixel + 1u) * divide) - add + step) / step, end);
    }
    return vec2<u32>(u32(first), u32(max(end, first)));
}

fn row_readers(y: u32) -> vec2<u32> {
    return readers(y, params.row_multiply, params.row_add, params.row_divide, params.height, params.to_height);
}

fn column_readers(x: u32) -> vec2<u32> {
    return readers(x, params.column_multiply, params.column_add, params.column_divide, params.width, params.to_width);
}
