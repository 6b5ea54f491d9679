// Several element-wise operations in one pass. The text between the marks is an example (a copy). src/kernels/generate.rs replaces it by
// the tensors and instructions of a call.
// Reads and writes tensors seen as [rows, columns]; one value per row (STRETCH), a repeated block (tile) and one value
// (scalar) may stand beside them; a tensor may be read and written in place. Sums over rows are added as in sum_columns.
// Dispatch: one workgroup of 64 per block of a row: 8 values per invocation, or the whole row where sums are wanted.
// Longest loop: block / 64.
// needs: grid, functions, compose

struct ElementwiseParams {
    rows: u32,
    columns: u32,
    // Blocks of a row, and the values of one.
    blocks: u32,
    block: u32,
    // Values per value of a stretched tensor, and values of a tiled one.
    stretch: u32,
    tile: u32,
}

@group(0) @binding(0) var<uniform> params: ElementwiseParams;
// [tensors]
@group(0) @binding(1) var<storage, read_write> t0: array<f32>;
@group(0) @binding(2) var<storage, read_write> t1: array<f32>;
// [end]

// i / d of an index; quick in software where all of them are small.
fn quotient(i: u32, d: u32) -> u32 {
    if params.rows * params.columns < 4194304u {
        return small_divide(i, d);
    }
    return i / d;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let number = group.y * GRID_WIDTH + group.x;
    let row = min(number / params.blocks, params.rows - 1u);
    let start = (number - row * params.blocks) * params.block;
    let end = min(start + params.block, params.columns);
    // [row]
    // [end]
    for (var column = start + local; column < end; column += GROUP) {
        let i = row * params.columns + column;
        // [value]
        let v0 = t0[i];
        t1[i] = v0;
        // [end]
    }
    // [sums]
    // [end]
}
