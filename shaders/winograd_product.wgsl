// winograd_product: the multiplications of Winograd's algorithm, sixteen independent matrix products.
//
//   product[p, t, o] = sum over i of image[p, t, i] * weight[p, i, o]
//
// Reads     image [16, tiles / 4, input_places] of vec4 over four tiles,
//           weight [16, input_places / 4, output_places] of vec4 over four input channels.
// Writes    product [16, tiles / 4, output_places] of vec4 over four tiles, every element once.
// Dispatch  x = ceil(output_places / 8), y = tiles / 32, z = 16.
// Longest loop  input_places / 4.
//
// The portable form: an invocation has four tiles of one channel. Programs use this algorithm only where there is a
// form that is made for the adapter.

@group(0) @binding(1) var<storage, read_write> image: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> product: array<vec4<f32>>;

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let channel = 8u * group.x + local.x;
    let tiles = group.z * params.tiles / 4u + 8u * group.y + local.y;
    if (channel >= params.output_places) {
        return;
    }
    var sum = vec4<f32>();
    for (var four = 0u; four < params.input_places / 4u; four++) {
        let weights = weight[(group.z * params.input_places / 4u + four) * params.output_places + channel];
        let at = tiles * params.input_places + 4u * four;
        sum += image[at] * weights.x + image[at + 1u] * weights.y;
        sum += image[at + 2u] * weights.z + image[at + 3u] * weights.w;
    }
    product[tiles * params.output_places + channel] = sum;
}
