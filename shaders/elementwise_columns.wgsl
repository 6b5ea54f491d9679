// Several element-wise operations and sums of their results over rows, column by column, in one pass. The text between the marks is an
// example (a sum of one tensor). src/kernels/generate.rs replaces it by the tensors and instructions of a call.
// Reads and writes tensors seen as [rows, columns]; one value per image (of `stretch` rows), one per column (tile) and one
// value (scalar) may stand beside them. Writes sums [splits, columns], in parts like sum_rows; a second call adds the parts.
// Dispatch: one workgroup of 64 per part and block of up to 32 columns. Lane l takes column l % width of every (64 / width)-th
// row, so that neighbours fetch neighbours; the lanes of a column are then added in workgroup memory. So the order is fixed.
// Longest loop: rows_per_split / 2 from 17 columns on, less below.
// needs: grid, functions, compose
//
// Workgroups of 256 took a quarter more time of a software adapter, which waits for all lanes at every barrier.

struct ElementwiseColumnsParams {
    rows: u32,
    columns: u32,
    splits: u32,
    rows_per_split: u32,
    // Columns of a block, a power of two.
    width: u32,
    // Rows per value of a stretched tensor.
    stretch: u32,
}

@group(0) @binding(0) var<uniform> params: ElementwiseColumnsParams;
// [tensors]
@group(0) @binding(1) var<storage, read_write> t0: array<f32>;
@group(0) @binding(2) var<storage, read_write> t1: array<f32>;
var<workgroup> partial: array<f32, 64>;
// [end]

// i / d; quick in software where the numbers are small.
fn quotient(i: u32, d: u32) -> u32 {
    if params.rows < 4194304u {
        return small_divide(i, d);
    }
    return i / d;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let number = group.y * GRID_WIDTH + group.x;
    let blocks = (params.columns + params.width - 1u) / params.width;
    let part = number / blocks;
    let own = (number - part * blocks) * params.width + local % params.width;
    let inside = part < params.splits && own < params.columns;
    // Lanes without a column load what another one does.
    let column = min(own, params.columns - 1u);
    let first = part * params.rows_per_split;
    let end = select(0u, min(first + params.rows_per_split, params.rows), inside);
    let lines = GROUP / params.width;
    // [row]
    var sum0 = 0.0;
    // [end]
    for (var row = first + local / params.width; row < end; row += lines) {
        let i = row * params.columns + column;
        let image = quotient(row, params.stretch);
        // [value]
        let v0 = t0[i];
        sum0 += v0;
        // [end]
    }
    // [sums]
    partial[local] = sum0;
    for (var half = 32u; half >= params.width; half >>= 1u) {
        workgroupBarrier();
        if local < half {
            partial[local] += partial[local + half];
        }
    }
    if local < params.width && inside {
        t1[part * params.columns + column] = partial[local];
    }
    // [end]
}
