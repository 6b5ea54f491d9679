// winograd_result for adapters whose subgroups are exactly eight invocations wide and that have 64-bit integers (the
// software adapter lavapipe). The contract is that of winograd_result.wgsl: A' m A for every tile, and the epilogue.
//
// Reads     product: 16 matrices tiles x outputs (shared/winograd.wgsl); tiles and outputs are multiples of 8;
//           beside: bias [outputs], or an activation like the result (EPILOGUE = 3), or nothing (EPILOGUE = 0).
// Writes    result [batch, height, width, outputs], every element once.
// Dispatch  x = outputs / 8, y = tiles / 8.
// Longest loop  none: outside loops a fetch has no mask to test.
//
// A lane takes one tile and eight channels.

@group(0) @binding(1) var<storage, read_write> product: array<vec4<u64>>;
@group(0) @binding(2) var<storage, read_write> beside: array<vec4<u64>>;
@group(0) @binding(3) var<storage, read_write> result: array<vec4<u64>>;

// One row of products, transformed along the row: the left and the right pixel.
struct Pixels {
    left: Eight,
    right: Eight,
}

fn load_row(at: u32, pitch: u32) -> Pixels {
    let first = unpack(product[at]);
    let second = unpack(product[at + pitch]);
    let third = unpack(product[at + 2u * pitch]);
    let fourth = unpack(product[at + 3u * pitch]);
    return Pixels(plus(plus(first, second), third), minus(minus(second, third), fourth));
}

fn store(at: u32, channel: u32, sums: Eight) {
    var others = Eight();
    if (EPILOGUE == 3u) {
        others = unpack(beside[at]);
    } else if (EPILOGUE != 0u) {
        others = unpack(beside[channel]);
    }
    result[at] = pack(Eight(finish(sums.low, others.low), finish(sums.high, others.high)));
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let tile = 8u * group.y + local.x;
    let pitch = params.outputs / 8u;
    let matrix = params.outputs;
    let from_tile = (group.y * ELEMENTS * pitch + group.x) * 8u + local.x;
    let row0 = load_row(from_tile, matrix);
    let row1 = load_row(from_tile + 4u * matrix, matrix);
    let row2 = load_row(from_tile + 8u * matrix, matrix);
    let row3 = load_row(from_tile + 12u * matrix, matrix);
    let first = first_pixel(tile);
    let line = params.width * pitch;
    let at = ((first.x * params.height + first.y) * params.width + first.z) * pitch + group.x;
    store(at, group.x, plus(plus(row0.left, row1.left), row2.left));
    store(at + pitch, group.x, plus(plus(row0.right, row1.right), row2.right));
    store(at + line, group.x, minus(minus(row1.left, row2.left), row3.left));
    store(at + line + pitch, group.x, minus(minus(row1.right, row2.right), row3.right));
}
