// winograd_s1_result: from the products of Winograd's algorithm F(4x4, 3x3) to the pixels, M m M' for every tile and every
// channel, and the epilogue.
//
// Reads     product: 36 matrices tiles x outputs (shared/winograd.wgsl),
//           beside: bias [outputs], or an activation like the result (params.epilogue = LEAKY_MASK), or nothing (params.epilogue = NOTHING).
// Writes    result [batch, height, width, outputs], every element once.
// Dispatch  x = ceil(outputs / 64), y = tiles.
// Longest loop  36.
// needs: grid, winograd, winograd_s1_points, winograd_both, blocks, epilogue

@group(0) @binding(1) var<storage, read_write> product: array<f32>;
@group(0) @binding(2) var<storage, read_write> beside: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

const ROWS = 4u;
const COLUMNS = 6u;
const MATRIX = array<array<f32, 6>, 4>(
    array<f32, 6>(1.0, 1.0, 1.0, 1.0, 1.0, 0.0),
    array<f32, 6>(0.0, NEAR, -NEAR, FAR, -FAR, 0.0),
    array<f32, 6>(0.0, NEAR2, NEAR2, FAR2, FAR2, 0.0),
    array<f32, 6>(0.0, NEAR * NEAR2, -NEAR * NEAR2, FAR * FAR2, -FAR * FAR2, 1.0),
);

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let channel = group.x * 64u + local.x;
    if (channel >= params.outputs) {
        return;
    }
    let own = first_element(ELEMENTS, params.outputs, group.y, channel);
    var elements: array<f32, 36>;
    for (var k = 0u; k < ELEMENTS; k++) {
        elements[k] = product[own + k * 8u * params.outputs];
    }
    var pixels = both(elements);
    let first = first_pixel(group.y);
    for (var k = 0u; k < 16u; k++) {
        let y = first.y + k / 4u;
        let x = first.z + k % 4u;
        if (first.x >= params.batch || y >= params.height || x >= params.width) {
            continue;
        }
        let at = ((first.x * params.height + y) * params.width + x) * params.outputs + channel;
        var other = 0.0;
        if (params.epilogue == LEAKY_MASK) {
            other = beside[at];
        } else if (params.epilogue != NOTHING) {
            other = beside[channel];
        }
        result[at] = finish_as(params.epilogue, vec4<f32>(pixels[k]), vec4<f32>(other)).x;
    }
}
