// Shared by all forms of copy_columns: the geometry. src/kernels/params.rs says more about the fields.

struct CopyColumnsParams {
    rows: u32,
    columns: u32,
    from_columns: u32,
    from_start: u32,
    to_columns: u32,
    to_start: u32,
    spread: u32,
}

@group(0) @binding(0) var<uniform> params: CopyColumnsParams;
