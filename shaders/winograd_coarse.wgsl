// winograd_coarse: a gradient by a convolution's result as Winograd's algorithm F(3x3, 2x2) multiplies it, H d H' with
// H = (1, 0; 1/2, 1/2; 1/2, -1/2; 0, 1), for every tile d of 2 x 2 pixels and every channel.
//
// Reads     coarse [batch, height, width, outputs]; height and width are even.
// Writes    transformed: 16 matrices outputs x tiles (shared/winograd.wgsl), every element once.
// Dispatch  x = ceil(tiles / 64), y = outputs.
// Longest loop  4.

@group(0) @binding(1) var<storage, read_write> coarse: array<f32>;
@group(0) @binding(2) var<storage, read_write> transformed: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let tile = group.x * 64u + local.x;
    if (tile >= params.tiles) {
        return;
    }
    let first = first_pixel(tile);
    let pixel = (first.x * params.height + first.y) * params.width + first.z;
    let at = (pixel + vec4<u32>(0u, 1u, params.width, params.width + 1u)) * params.outputs + group.y;
    let top = vec2<f32>(coarse[at.x], coarse[at.y]);
    let bottom = vec2<f32>(coarse[at.z], coarse[at.w]);
    let rows = array<vec2<f32>, 4>(top, 0.5 * (top + bottom), 0.5 * (top - bottom), bottom);
    let matrix = 8u * params.tiles;
    var to = first_element(ELEMENTS, params.tiles, group.y, tile);
    for (var row = 0u; row < 4u; row++) {
        transformed[to] = rows[row].x;
        transformed[to + matrix] = 0.5 * (rows[row].x + rows[row].y);
        transformed[to + 2u * matrix] = 0.5 * (rows[row].x - rows[row].y);
        transformed[to + 3u * matrix] = rows[row].y;
        to += 4u * matrix;
    }
}
