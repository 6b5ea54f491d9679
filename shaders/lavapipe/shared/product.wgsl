// Shared by the forms of matrix_product for subgroups of eight: their tensors, where a lane's rows and sums are, and how a sum
// begins and ends. Lanes run along eight rows at a time. Stores are two of four values, as making 64-bit integers of sums
// costs more than it saves.

@group(0) @binding(1) var<storage, read_write> left: array<vec4<u64>>;
@group(0) @binding(2) var<storage, read_write> right: array<vec4<u64>>;
@group(0) @binding(3) var<storage, read_write> product: array<vec4<f32>>;

override ACCUMULATE: u32 = 0u;

// What a sum begins with.
fn before(at: u32) -> Eight {
    if (ACCUMULATE == 1u) {
        return Eight(product[at], product[at + 1u]);
    }
    return Eight();
}

fn store(at: u32, sum: Eight) {
    product[at] = sum.low;
    product[at + 1u] = sum.high;
}

// The row of a lane; beyond the last row of a row-major matrix that one.
fn row_of(group_of_rows: u32, lane: u32) -> u32 {
    return min(8u * group_of_rows + lane, params.height - 1u);
}

// Where a lane's row of the left matrix begins, in units of eight values.
fn left_begin(matrix: u32, group_of_rows: u32, lane: u32) -> u32 {
    let inner = params.inner / 8u;
    let row = row_of(group_of_rows, lane);
    let in_blocks = (left_of(matrix) + group_of_rows * params.lefts) * inner * 8u + row - 8u * group_of_rows;
    return select(in_blocks, row * inner, (params.row_major & LEFT) != 0u);
}

// From eight values of such a row to the next eight.
fn left_step() -> u32 {
    return select(8u, 1u, (params.row_major & LEFT) != 0u);
}

// Where a lane's row of the right matrix is, the last row, from eight rows to the next eight, and from eight columns to the
// next eight, in units of eight values.
struct Right {
    row: u32,
    last: u32,
    step: u32,
    block: u32,
}

fn right_begin(matrix: u32, lane: u32) -> Right {
    let columns = params.columns / 8u;
    if ((params.row_major & RIGHT) != 0u) {
        return Right(lane * columns, (params.depth - 1u) * columns, 8u * columns, 1u);
    }
    return Right(matrix * columns * 8u + lane, 0xffffffffu, params.matrices * columns * 8u, 8u);
}

// Where a lane's sums of eight columns go, in units of four values.
fn product_begin(matrix: u32, group_of_rows: u32, lane: u32, column: u32) -> u32 {
    let columns = params.columns / 8u;
    let row = row_of(group_of_rows, lane);
    let in_blocks = ((matrix + group_of_rows * params.matrices) * columns + column) * 16u + 2u * (row - 8u * group_of_rows);
    return select(in_blocks, 2u * (row * columns + column), (params.row_major & PRODUCT) != 0u);
}
