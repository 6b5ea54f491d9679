// winograd_coarse for adapters whose subgroups are exactly eight invocations wide and that have 64-bit integers (the
// software adapter lavapipe). The contract is that of winograd_coarse.wgsl: H d H' for every tile d of 2 x 2 pixels.
//
// Reads     coarse [batch, height, width, outputs]; height and width are even.
// Writes    transformed: 16 matrices outputs x tiles (shared/winograd.wgsl), every element once; outputs and tiles are
//           multiples of 8.
// Dispatch  x = outputs / 8, y = tiles / 8.
// Longest loop  none: outside loops a fetch has no mask to test.
//
// A lane fetches eight channels of a tile's pixels, and stores eight tiles of one channel: in between, rows become
// columns among the eight lanes.

@group(0) @binding(1) var<storage, read_write> coarse: array<vec4<u64>>;
@group(0) @binding(2) var<storage, read_write> transformed: array<vec4<u64>>;

fn half_of(values: Eight) -> Eight {
    return Eight(0.5 * values.low, 0.5 * values.high);
}

fn store(at: u32, values: Eight) {
    transformed[at] = pack(values);
}

fn store_row(at: u32, pitch: u32, left: Eight, right: Eight) {
    store(at, left);
    store(at + pitch, half_of(plus(left, right)));
    store(at + 2u * pitch, half_of(minus(left, right)));
    store(at + 3u * pitch, right);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let first = first_pixel(8u * group.y + lane);
    let pitch = params.outputs / 8u;
    let line = params.width * pitch;
    let at = ((first.x * params.height + first.y) * params.width + first.z) * pitch + group.x;
    let top_left = turn(unpack(coarse[at]), lane);
    let top_right = turn(unpack(coarse[at + pitch]), lane);
    let bottom_left = turn(unpack(coarse[at + line]), lane);
    let bottom_right = turn(unpack(coarse[at + line + pitch]), lane);
    let matrix = params.tiles;
    let to = (group.x * ELEMENTS * params.tiles / 8u + group.y) * 8u + lane;
    let sum_left = half_of(plus(top_left, bottom_left));
    let sum_right = half_of(plus(top_right, bottom_right));
    let difference_left = half_of(minus(top_left, bottom_left));
    let difference_right = half_of(minus(top_right, bottom_right));
    store_row(to, matrix, top_left, top_right);
    store_row(to + 4u * matrix, matrix, sum_left, sum_right);
    store_row(to + 8u * matrix, matrix, difference_left, difference_right);
    store_row(to + 12u * matrix, matrix, bottom_left, bottom_right);
}
