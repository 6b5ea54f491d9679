// matrix_product: products of matrices, each of its own two:
//
//   product[m, r, c] = sum over i of left[l, r, i] * right[m, i, c], and what stood there if ACCUMULATE = 1,
//
// where l is m, or with 25 left matrices for 81 products that of shared/matrix.wgsl.
//
// Reads     left: rows x inner, right: inner x columns, in the layout of shared/blocks.wgsl; all three extents are
//           multiples of 8.
// Writes    product: rows x columns, in the same layout, every element once.
// Dispatch  x = ceil(columns / 64), y = rows / 8, z = matrices.
// Longest loop  inner.

@group(0) @binding(1) var<storage, read_write> left: array<f32>;
@group(0) @binding(2) var<storage, read_write> right: array<f32>;
@group(0) @binding(3) var<storage, read_write> product: array<f32>;

override ACCUMULATE: u32 = 0u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let column = group.x * 64u + local.x;
    if (column >= params.columns) {
        return;
    }
    let row = 8u * group.y;
    // Where the matrices begin, in a group of eight rows.
    let left_matrix = left_of(group.z) * 8u * params.inner;
    let matrix = group.z * 8u * params.columns;
    var low = vec4<f32>();
    var high = vec4<f32>();
    for (var i = 0u; i < params.inner; i++) {
        let right_value = right[matrix + first_element(params.matrices, params.columns, i, column)];
        let begin = left_matrix + first_element(params.lefts, params.inner, row, i);
        let first = begin + vec4<u32>(0u, 8u, 16u, 24u);
        let last = first + 32u;
        low += vec4<f32>(left[first.x], left[first.y], left[first.z], left[first.w]) * right_value;
        high += vec4<f32>(left[last.x], left[last.y], left[last.z], left[last.w]) * right_value;
    }
    for (var i = 0u; i < 8u; i++) {
        let to = matrix + first_element(params.matrices, params.columns, row + i, column);
        var before = 0.0;
        if (ACCUMULATE == 1u) {
            before = product[to];
        }
        product[to] = before + select(low[i % 4u], high[i % 4u], i >= 4u);
    }
}
