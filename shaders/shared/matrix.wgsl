// Shared by the forms of matrix_product: its parameters, and which matrices it multiplies.

struct MatrixParams {
    matrices: u32,
    rows: u32,
    inner: u32,
    columns: u32,
    lefts: u32,
}

@group(0) @binding(0) var<uniform> params: MatrixParams;

// The left matrix of a product: its own, or of 5 x 5 for 9 x 9 that of the same point (shared/phase_points.wgsl).
fn left_of(matrix: u32) -> u32 {
    let row = small_divide(matrix, 9u);
    let at = vec2<u32>(row, matrix - 9u * row);
    let shared_at = select(at, at - 5u, at >= vec2<u32>(5u));
    return select(5u * shared_at.x + shared_at.y, matrix, params.lefts == params.matrices);
}
