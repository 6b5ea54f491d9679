// Shared by the forms of gather_rows: the geometry. src/kernels/params.rs says more about the fields.

struct GatherRowsParams {
    rows: u32,
    columns: u32,
    slope: f32,
}

@group(0) @binding(0) var<uniform> params: GatherRowsParams;
