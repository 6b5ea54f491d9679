// matrix_product: products of pairs of matrices:
//
//   product[m, r, c] = sum over i of left[l, r, i] * right[m, i, c], plus the value before if ACCUMULATE = 1,
//
// where l is m, or with 25 left matrices for 81 products that of shared/matrices.wgsl.
//
// Reads     left: rows x inner, right: inner x columns, in the layout of shared/blocks.wgsl or row-major (shared/matrices.wgsl);
//           all three extents are multiples of 8. A row-major matrix may have fewer rows; beyond its last row is that row
//           again.
// Writes    product: rows x columns, in either layout, every element once.
// Dispatch  x = ceil(columns / 64), y = rows / 8, z = matrices.
// Longest loop  inner.
// needs: grid, matrices, blocks

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
    let left_row_major = (params.row_major & LEFT) != 0u;
    let rows = vec4<u32>(0u, 1u, 2u, 3u);
    let first = select(8u * rows, params.inner * (min(row + rows, vec4<u32>(params.height - 1u)) - row), left_row_major);
    let last = select(8u * (rows + 4u), params.inner * (min(row + rows + 4u, vec4<u32>(params.height - 1u)) - row), left_row_major);
    var low = vec4<f32>();
    var high = vec4<f32>();
    for (var i = 0u; i < params.inner; i++) {
        let right_block = matrix + first_element(params.matrices, params.columns, i, column);
        let right_row = min(i, params.depth - 1u) * params.columns + column;
        let right_value = right[select(right_block, right_row, (params.row_major & RIGHT) != 0u)];
        let left_block = left_matrix + first_element(params.lefts, params.inner, row, i);
        let begin = select(left_block, row * params.inner + i, left_row_major);
        let a = begin + first;
        let b = begin + last;
        low += vec4<f32>(left[a.x], left[a.y], left[a.z], left[a.w]) * right_value;
        high += vec4<f32>(left[b.x], left[b.y], left[b.z], left[b.w]) * right_value;
    }
    for (var i = 0u; i < min(8u, params.height - row); i++) {
        let block = matrix + first_element(params.matrices, params.columns, row + i, column);
        let to = select(block, (row + i) * params.columns + column, (params.row_major & PRODUCT) != 0u);
        var before = 0.0;
        if (ACCUMULATE == 1u) {
            before = product[to];
        }
        product[to] = before + select(low[i % 4u], high[i % 4u], i >= 4u);
    }
}
