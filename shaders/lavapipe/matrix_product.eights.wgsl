// matrix_product, form lavapipe.eights: as shaders/matrix_product.wgsl:
//
//   product[m, r, c] = sum over i of left[l, r, i] * right[m, i, c], plus the value before if ACCUMULATE = 1,
//
// where l is m, or with 25 left matrices for 81 products that of shared/matrices.wgsl.
//
// It asks for subgroups of exactly eight invocations and for 64-bit integers.
//
// Reads     left: rows x inner, right: inner x columns, in the layout of shared/blocks.wgsl or row-major; all three extents are
//           multiples of 8.
// Writes    product: rows x columns, in either layout, every element; a row-major one's last row, by several lanes the
//           same, where rows are beyond it.
// Dispatch  x = ceil(columns / 16), y = ceil(rows / 32), z = matrices.
// Longest loop  inner / 8.
// needs: grid, matrices, lavapipe/eights, lavapipe/rows, lavapipe/product
//
// Why this shape: a fetch costs as much as some thirty multiply-adds, a broadcast one. One subgroup computes 32 rows x
// 16 columns; lanes run along the rows, eight at a time, so that one broadcast of a value of `right` serves four groups
// of rows. Six fetches bring what 512 multiply-adds of eight lanes need; twice as many sums ran a third slower, because
// the compiler keeps what it can in registers and spills within the fetches, which it takes for unlikely branches; so a
// block of `right` is used up before the next one is fetched (1 % faster than both first). The
// loop ends at its foot: the driver runs the body of a loop that ends at its head once more, masked.

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    // Beyond the matrix are its last eight rows and columns once more: branches would cost more, above all the compiler.
    let steps = vec4<u32>(0u, 1u, 2u, 3u);
    let rows = min(4u * group.y + steps, vec4<u32>(params.rows / 8u - 1u));
    let columns = min(2u * group.x + steps, vec4<u32>(params.columns / 8u - 1u));
    var left0 = left_begin(group.z, rows.x, lane);
    var left1 = left_begin(group.z, rows.y, lane);
    var left2 = left_begin(group.z, rows.z, lane);
    var left3 = left_begin(group.z, rows.w, lane);
    let step = left_step();
    let right_matrix = right_begin(group.z, lane);
    var right_row = right_matrix.row;
    let right_column = columns * right_matrix.block;

    let to0 = product_begin(group.z, rows.x, lane, columns.x);
    let to1 = product_begin(group.z, rows.x, lane, columns.y);
    let to2 = product_begin(group.z, rows.y, lane, columns.x);
    let to3 = product_begin(group.z, rows.y, lane, columns.y);
    let to4 = product_begin(group.z, rows.z, lane, columns.x);
    let to5 = product_begin(group.z, rows.z, lane, columns.y);
    let to6 = product_begin(group.z, rows.w, lane, columns.x);
    let to7 = product_begin(group.z, rows.w, lane, columns.y);
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
        let values2 = unpack(left[left2]);
        let values3 = unpack(left[left3]);
        let lane_row = min(right_row, right_matrix.last);
        let first = rows_of_lanes(unpack(right[lane_row + right_column.x]));
        sums[0] = add_rows(sums[0], values0, first);
        sums[2] = add_rows(sums[2], values1, first);
        sums[4] = add_rows(sums[4], values2, first);
        sums[6] = add_rows(sums[6], values3, first);
        let second = rows_of_lanes(unpack(right[lane_row + right_column.y]));
        sums[1] = add_rows(sums[1], values0, second);
        sums[3] = add_rows(sums[3], values1, second);
        sums[5] = add_rows(sums[5], values2, second);
        sums[7] = add_rows(sums[7], values3, second);
        left0 += step;
        left1 += step;
        left2 += step;
        left3 += step;
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
