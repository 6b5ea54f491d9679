// Shared by the kernels that work row by row: the geometry. src/kernels/params.rs says more about the fields.

struct RowsParams {
    rows: u32,
    columns: u32,
}

@group(0) @binding(0) var<uniform> params: RowsParams;
