// sum_rows, form gpu.many_rows: as shaders/sum_rows.wgsl, for GPUs, where a part has enough rows to share among many invocations: the
// portable form has one invocation walk through all of them, and few columns fill no GPU.
//
// Reads     x [rows, columns].
// Writes    y [splits, columns], every element once. The order of every sum is fixed.
// Dispatch  one workgroup of 256 per part and block of up to 32 columns, a row of GRID_WIDTH workgroups after the other.
// Longest loop  rows_per_split / 8 / 8 from 32 columns on, less below.
// needs: grid, sum_rows_params
//
// Lane l of a workgroup adds column l % width of every (256 / width)-th row, so that neighbours fetch neighbours also where there
// are three columns; the lanes of a column are then added in workgroup memory, the upper half to the lower.

@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

const LANES: u32 = 256u;
// Columns of a block.
const BLOCK: u32 = 32u;

var<workgroup> sums: array<f32, 256>;

// Eight rows, `pitch` apart: loads that do not wait for each other.
fn eight(at: u32, pitch: u32) -> f32 {
    let low = vec4<f32>(x[at], x[at + pitch], x[at + 2u * pitch], x[at + 3u * pitch]);
    let next = at + 4u * pitch;
    let high = vec4<f32>(x[next], x[next + pitch], x[next + 2u * pitch], x[next + 3u * pitch]);
    let both = low + high;
    return (both.x + both.y) + (both.z + both.w);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let blocks = (params.columns + BLOCK - 1u) / BLOCK;
    let index = group.y * GRID_WIDTH + group.x;
    let part = index / blocks;
    let width = min(params.columns, BLOCK);
    let lines = LANES / width;
    let line = lane / width;
    let column = index % blocks * BLOCK + lane % width;
    let last = min((part + 1u) * params.rows_per_split, params.rows);
    var sum = 0.0;
    if (part < params.splits && line < lines && column < params.columns) {
        var row = part * params.rows_per_split + line;
        for (; row + 7u * lines < last; row += 8u * lines) {
            sum += eight(row * params.columns + column, lines * params.columns);
        }
        for (; row < last; row += lines) {
            sum += x[row * params.columns + column];
        }
    }
    sums[lane] = sum;
    for (var left = lines; left > 1u; left = (left + 1u) / 2u) {
        let half = (left + 1u) / 2u;
        workgroupBarrier();
        if (line + half < left) {
            sums[lane] += sums[lane + half * width];
        }
    }
    if (part < params.splits && line == 0u && column < params.columns) {
        y[part * params.columns + column] = sums[lane];
    }
}
