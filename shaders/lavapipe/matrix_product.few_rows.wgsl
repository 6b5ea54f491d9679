// matrix_product, form lavapipe.few_rows: as shaders/matrix_product.wgsl and its form lavapipe.eights, for few rows. It asks for
// subgroups of exactly eight invocations and for 64-bit integers.
//
// Reads     left: rows x inner, right: inner x columns, in the layout of shared/blocks.wgsl or row-major; all three extents are
//           multiples of 8.
// Writes    product: rows x columns, in either layout, every element; a row-major one's last row, by several lanes the
//           same, where rows are beyond it.
// Dispatch  x = ceil(columns / 32), y = ceil(rows / 16), z = matrices.
// Longest loop  inner / 8.
// needs: grid, matrices, lavapipe/eights, lavapipe/rows, lavapipe/product
//
// Why this shape: the form lavapipe.eights computes 32 rows x 16 columns, so that 16 rows or fewer leave half of it empty. This one
// computes 16 x 32: as many sums from as many fetches. A broadcast serves two groups of rows, not four, so that a full
// tile takes 1.1 times as long, and 16 rows 0.57 times.

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    // Beyond the matrix are its last eight rows and columns once more: branches would cost more, above all the compiler.
    let steps = vec4<u32>(0u, 1u, 2u, 3u);
    let rows = min(2u * group.y + steps, vec4<u32>(params.rows / 8u - 1u));
    let columns = min(4u * group.x + steps, vec4<u32>(params.columns / 8u - 1u));
    var left0 = left_begin(group.z, rows.x, lane);
    var left1 = left_begin(group.z, rows.y, lane);
    let step = left_step();
    let right_matrix = right_begin(group.z, lane);
    var right_row = right_matrix.row;
    let right_column = columns * right_matrix.block;

    let to0 = product_begin(group.z, rows.x, lane, columns.x);
    let to1 = product_begin(group.z, rows.x, lane, columns.y);
    let to2 = product_begin(group.z, rows.x, lane, columns.z);
    let to3 = product_begin(group.z, rows.x, lane, columns.w);
    let to4 = product_begin(group.z, rows.y, lane, columns.x);
    let to5 = product_begin(group.z, rows.y, lane, columns.y);
    let to6 = product_begin(group.z, rows.y, lane, columns.z);
    let to7 = product_begin(group.z, rows.y, lane, columns.w);
    var sums: array<Eight, 8>;
    sums[0] = before(to0);
    sums[1] = before(to1);
    sums[2] = before(to2);
    sums[3] = before(to3);
    sums[4] = before(to4);
    sums[5] = before(to5);
    sums[6] = before(to6);
    sums[7] = before(to7);
    var i = 0u;
    loop {
        let values0 = unpack(left[left0]);
        let values1 = unpack(left[left1]);
        let lane_row = min(right_row, right_matrix.last);
        let first = rows_of_lanes(unpack(right[lane_row + right_column.x]));
        sums[0] = add_rows(sums[0], values0, first);
        sums[4] = add_rows(sums[4], values1, first);
        let second = rows_of_lanes(unpack(right[lane_row + right_column.y]));
        sums[1] = add_rows(sums[1], values0, second);
        sums[5] = add_rows(sums[5], values1, second);
        let third = rows_of_lanes(unpack(right[lane_row + right_column.z]));
        sums[2] = add_rows(sums[2], values0, third);
        sums[6] = add_rows(sums[6], values1, third);
        let fourth = rows_of_lanes(unpack(right[lane_row + right_column.w]));
        sums[3] = add_rows(sums[3], values0, fourth);
        sums[7] = add_rows(sums[7], values1, fourth);
        left0 += step;
        left1 += step;
        right_row += right_matrix.step;
        i++;
        if (i >= params.inner / 8u) {
            break;
        }
    }

    store(to0, sums[0]);
    store(to1, sums[1]);
    store(to2, sums[2]);
    store(to3, sums[3]);
    store(to4, sums[4]);
    store(to5, sums[5]);
    store(to6, sums[6]);
    store(to7, sums[7]);
}
