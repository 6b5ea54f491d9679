// Shared by the forms of sum_rows: the parameters, a matrix whose rows are added in `splits` parts of rows_per_split, the last of
// as many as are left.

struct SumRowsParams {
    rows: u32,
    columns: u32,
    splits: u32,
    rows_per_split: u32,
}

@group(0) @binding(0) var<uniform> params: SumRowsParams;
