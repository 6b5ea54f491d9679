// matrix_product of few rows, for adapters whose subgroups are exactly eight invocations wide and that have 64-bit integers (the
// software adapter lavapipe). The contract is that of matrix_product.wgsl and of its form wide8.
//
// Reads     left: rows x inner, right: inner x columns, in the layout of shared/blocks.wgsl or plain; all three extents are
//           multiples of 8.
// Writes    product: rows x columns, in either layout, every element; a plain one's last row, by several lanes the same,
//           where rows are beyond it.
// Dispatch  x = ceil(columns / 32), y = ceil(rows / 16), z = matrices.
// Longest loop  inner / 8.
//
// Why this shape: the form wide8 computes 32 rows x 16 columns, so that 16 rows or fewer leave half of it empty. This one
// computes 16 x 32: as many sums from as many fetches. A broadcast serves two groups of rows, not four, so that a full
// tile takes 1.1 times as long, and 16 rows 0.57 times.

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let inner = params.inner / 8u;
    let columns = params.columns / 8u;
    let rows = params.rows / 8u;
    let first_row = 2u * group.y;
    let first_column = 4u * group.x;
    let steps = vec4<u32>(0u, 1u, 2u, 3u);
    let column = min(first_column + steps, vec4<u32>(columns - 1u));

    // Beyond the matrix are its last eight rows and columns once more, and beyond the last row of a plain one that row.
    let group_of_rows = min(first_row + steps.xy, vec2<u32>(rows - 1u));
    let row = min(8u * group_of_rows + lane, vec2<u32>(params.height - 1u));
    let in_group = row - 8u * group_of_rows;
    // In units of eight values.
    let left_plain = (params.plain & LEFT) != 0u;
    let from_left = select((left_of(group.z) + group_of_rows * params.lefts) * inner * 8u + in_group, row * inner, left_plain);
    let left_step = select(8u, 1u, left_plain);
    var left0 = from_left.x;
    var left1 = from_left.y;
    let right_plain = (params.plain & RIGHT) != 0u;
    var right_row = select(group.z * columns * 8u + lane, lane * columns, right_plain);
    let right_last = select(0xffffffffu, (params.depth - 1u) * columns, right_plain);
    let right_step = select(params.matrices, 1u, right_plain) * columns * 8u;
    let right_column = column * select(8u, 1u, right_plain);

    // In units of four.
    let product_plain = (params.plain & PRODUCT) != 0u;
    let to_blocks = (group.z + group_of_rows * params.matrices) * columns * 16u + 2u * in_group;
    let to = select(to_blocks, 2u * row * columns, product_plain);
    let to_column = column * select(16u, 2u, product_plain);
    let to_first = to.x + to_column;
    let to_second = to.y + to_column;
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
        let right_lane = min(right_row, right_last);
        let first = rows_of_lanes(unpack(right[right_lane + right_column.x]));
        sums[0] = add_rows(sums[0], values0, first);
        sums[1] = add_rows(sums[1], values1, first);
        let second = rows_of_lanes(unpack(right[right_lane + right_column.y]));
        sums[2] = add_rows(sums[2], values0, second);
        sums[3] = add_rows(sums[3], values1, second);
        let third = rows_of_lanes(unpack(right[right_lane + right_column.z]));
        sums[4] = add_rows(sums[4], values0, third);
        sums[5] = add_rows(sums[5], values1, third);
        let fourth = rows_of_lanes(unpack(right[right_lane + right_column.w]));
        sums[6] = add_rows(sums[6], values0, fourth);
        sums[7] = add_rows(sums[7], values1, fourth);
        left0 += left_step;
        left1 += left_step;
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
