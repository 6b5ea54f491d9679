// Shared by the forms of matrix_product: its extents, which matrices it multiplies, and which of them are row-major
// instead of in blocks.

struct MatrixParams {
    matrices: u32,
    rows: u32,
    inner: u32,
    columns: u32,
    lefts: u32,
    row_major: u32,
    height: u32,
    depth: u32,
}

@group(0) @binding(0) var<uniform> params: MatrixParams;

// Bits of params.row_major. A row-major left matrix and product have params.height rows, a row-major right matrix
// params.depth.
const LEFT: u32 = 1u;
const RIGHT: u32 = 2u;
const PRODUCT: u32 = 4u;

// The left matrix of a product: its own, or of 5 x 5 for 9 x 9 that of the same point (shared/winograd_s2_points.wgsl).
fn left_of(matrix: u32) -> u32 {
    let row = small_divide(matrix, 9u);
    let at = vec2<u32>(row, matrix - 9u * row);
    let shared_at = select(at, at - 5u, at >= vec2<u32>(5u));
    return select(5u * shared_at.x + shared_at.y, matrix, params.lefts == params.matrices);
}
