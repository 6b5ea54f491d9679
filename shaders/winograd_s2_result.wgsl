// winograd_s2_result: from the products of Winograd's algorithms at stride 2 to the pixels, M m M' for every tile and every channel, and
// the epilogue: of the fine side phase by phase, or of the coarse side, where phases are added.
//
// Reads     product: 81 matrices tiles x outputs (shared/winograd_s2_points.wgsl),
//           beside: bias [outputs], or an activation like the result (params.epilogue = LEAKY_MASK), or border biases
//           [batch, 6, 6, outputs] (params.epilogue = BORDER_BIAS_LEAKY, only with params.adjoint = 1), or nothing (params.epilogue = NOTHING).
// Writes    result: coarse [batch, height, width, outputs], or with params.adjoint = 1 fine [batch, 2*height, 2*width, outputs],
//           every element once.
// Dispatch  x = ceil(outputs / 64), y = tiles, z = 1, or with params.adjoint = 1 z = 4 phases.
// Longest loop  100.
// needs: grid, winograd, winograd_s2_points, winograd_both, blocks, epilogue

@group(0) @binding(1) var<storage, read_write> product: array<f32>;
@group(0) @binding(2) var<storage, read_write> beside: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

const ROWS = 4u;
const COLUMNS = 5u;
const MATRIX = array<array<f32, 5>, 4>(
    array<f32, 5>(1.0, 1.0, 1.0, 1.0, 0.0),
    array<f32, 5>(NEAR, -NEAR, FAR, -FAR, 0.0),
    array<f32, 5>(NEAR2, NEAR2, FAR2, FAR2, 0.0),
    array<f32, 5>(NEAR * NEAR2, -NEAR * NEAR2, FAR * FAR2, -FAR * FAR2, 1.0),
);

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let channel = group.x * 64u + local.x;
    if (channel >= params.outputs) {
        return;
    }
    let own = first_element(FINE_ELEMENTS, params.outputs, group.y, channel);
    var elements: array<f32, 25>;
    let phases = select(4u, 1u, params.adjoint == 1u);
    for (var k = 0u; k < 25u * phases; k++) {
        let phase = group.z + k / 25u;
        let at = first_of(phase) + vec2<u32>(k % 25u / 5u, k % 5u);
        if (all(at < vec2<u32>(FINE_SIDE))) {
            elements[k % 25u] += product[own + (at.x * FINE_SIDE + at.y) * 8u * params.outputs];
        }
    }
    var pixels = both(elements);
    let first = first_pixel(group.y);
    let size = vec2<u32>(params.height, params.width);
    let odd = select(vec2<u32>(1u), vec2<u32>(), even(group.z) | vec2<bool>(params.adjoint == 0u));
    for (var k = 0u; k < 16u; k++) {
        let coarse = first.yz + vec2<u32>(k / 4u, k % 4u);
        if (first.x >= params.batch || any(coarse >= size)) {
            continue;
        }
        let step = 1u + params.adjoint;
        let pixel = step * coarse + odd;
        let at = ((first.x * step * size.x + pixel.x) * step * size.y + pixel.y) * params.outputs + channel;
        var other = 0.0;
        if (params.epilogue == BORDER_BIAS_LEAKY) {
            let inner = select(vec2<u32>(1u), vec2<u32>(2u), coarse == size - 1u);
            let place = 2u * select(inner, vec2<u32>(), coarse == vec2<u32>()) + odd;
            other = beside[((first.x * 6u + place.x) * 6u + place.y) * params.outputs + channel];
        } else if (params.epilogue == LEAKY_MASK) {
            other = beside[at];
        } else if (params.epilogue != NOTHING) {
            other = beside[channel];
        }
        result[at] = finish_as(params.epilogue, vec4<f32>(pixels[k]), vec4<f32>(other)).x;
    }
}
