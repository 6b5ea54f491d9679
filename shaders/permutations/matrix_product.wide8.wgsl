// matrix_product for adapters whose subgroups are exactly eight invocations wide and that have 64-bit integers (the
// software adapter lavapipe). The contract is that of matrix_product.wgsl:
//
//   product[m, r, c] = sum over i of left[l, r, i] * right[m, i, c], and what stood there if ACCUMULATE = 1,
//
// where l is m, or with 25 left matrices for 81 products that of shared/matrices.wgsl.
//
// Reads     left: rows x inner, right: inner x columns, in the layout of shared/blocks.wgsl or plain; all three extents are
//           multiples of 8.
// Writes    product: rows x columns, in either layout, every element; a plain one's last row, by several lanes the same,
//           where rows are beyond it.
// Dispatch  x = ceil(columns / 16), y = ceil(rows / 32), z = matrices.
// Longest loop  inner / 8.
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
    let inner = params.inner / 8u;
    let columns = params.columns / 8u;
    let rows = params.rows / 8u;
    let first_row = 4u * group.y;
    let first_column = 2u * group.x;
    let second_column = min(first_column + 1u, columns - 1u);

    // Beyond the matrix are its last eight rows and columns once more, and beyond the last row of a plain one that row:
    // branches would cost more, above all the compiler.
    let group_of_rows = min(vec4<u32>(first_row, first_row + 1u, first_row + 2u, first_row + 3u), vec4<u32>(rows - 1u));
    let row = min(8u * group_of_rows + lane, vec4<u32>(params.height - 1u));
    let in_group = row - 8u * group_of_rows;
    // In units of eight values.
    let left_plain = (params.plain & LEFT) != 0u;
    let from_left = select((left_of(group.z) + group_of_rows * params.lefts) * inner * 8u + in_group, row * inner, left_plain);
    let left_step = select(8u, 1u, left_plain);
    var left0 = from_left.x;
    var left1 = from_left.y;
    var left2 = from_left.z;
    var left3 = from_left.w;
    let right_plain = (params.plain & RIGHT) != 0u;
    var right_row = select(group.z * columns * 8u + lane, lane * columns, right_plain);
    let right_last = select(0xffffffffu, (params.depth - 1u) * columns, right_plain);
    let right_step = select(params.matrices, 1u, right_plain) * columns * 8u;
    let right_block = select(8u, 1u, right_plain);

    // In units of four.
    let product_plain = (params.plain & PRODUCT) != 0u;
    let to_blocks = ((group.z + group_of_rows * params.matrices) * columns + first_column) * 16u + 2u * in_group;
    let to_first = select(to_blocks, 2u * (row * columns + first_column), product_plain);
    let to_second = to_first + (second_column - first_column) * select(16u, 2u, product_plain);
    var sums: array<Eight, 8>;
    sums[0] = before(to_first.x);
    sums[1] = before(to_second.x);
    sums[2] = before(to_first.y);
    sums[3] = before(to_second.y);
    sums[4] = before(to_first.z);
    sums[5] = before(to_second.z);
    sums[6] = before(to_first.w);
    sums[7] = before(to_second.w);
    var i = 0u;
    loop {
        let values0 = unpack(left[left0]);
        let values1 = unpack(left[left1]);
        let values2 = unpack(left[left2]);
        let values3 = unpack(left[left3]);
        let right_lane = min(right_row, right_last);
        let first = rows_of_lanes(unpack(right[right_lane + right_block * first_column]));
        sums[0] = add_rows(sums[0], values0, first);
        sums[2] = add_rows(sums[2], values1, first);
        sums[4] = add_rows(sums[4], values2, first);
        sums[6] = add_rows(sums[6], values3, first);
        let second = rows_of_lanes(unpack(right[right_lane + right_block * second_column]));
        sums[1] = add_rows(sums[1], values0, second);
        sums[3] = add_rows(sums[3], values1, second);
        sums[5] = add_rows(sums[5], values2, second);
        sums[7] = add_rows(sums[7], values3, second);
        left0 += left_step;
        left1 += left_step;
        left2 += left_step;
        left3 += left_step;
        right_row += right_step;
        i++;
        if (i >= inner) {
            break;
        }
    }

    store(to_first.x, sums[0]);
    store(to_second.x, sums[1]);
    store(to_first.y, sums[2]);
    store(to_second.y, sums[3]);
    store(to_first.z, sums[4]);
    store(to_second.z, sums[5]);
    store(to_first.w, sums[6]);
    store(to_second.w, sums[7]);
}
