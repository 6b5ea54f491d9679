// Shared by the forms of matrix_product: its extents, and which of its matrices are plain, row after row instead of in blocks.

struct MatrixParams {
    matrices: u32,
    rows: u32,
    inner: u32,
    columns: u32,
    plain: u32,
    height: u32,
    depth: u32,
}

@group(0) @binding(0) var<uniform> params: MatrixParams;

// Bits of params.plain. A plain left matrix and a plain product have params.height rows, a plain right matrix params.depth.
const LEFT: u32 = 1u;
const RIGHT: u32 = 2u;
const PRODUCT: u32 = 4u;
