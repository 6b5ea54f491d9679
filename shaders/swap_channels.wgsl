// swap_channels: the weight of a 3x3 kernel at stride 1 for swapped sides, with mirrored taps. The trilinear form of
// graph/convolution.rs is the same in both readings:
//
//   swapped[8 - k, b, a] = weight[k, a, b]
//
// Reads     weight [9, rows, columns].
// Writes    swapped [9, columns, rows], every element once.
// Dispatch  one invocation per tap and row, 64 per workgroup.
// Longest loop  columns.
// needs: grid, rows_params

@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> swapped: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = flat_index(group, local);
    let tap = i / params.rows;
    if (tap >= 9u) {
        return;
    }
    let row = i - tap * params.rows;
    for (var column = 0u; column < params.columns; column++) {
        swapped[((8u - tap) * params.columns + column) * params.rows + row] = weight[i * params.columns + column];
    }
}
