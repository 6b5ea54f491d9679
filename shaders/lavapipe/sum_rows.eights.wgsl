// sum_rows, form lavapipe.eights: as shaders/sum_rows.wgsl; sums over the rows of a matrix in `splits` parts, in order. It
// asks for subgroups of exactly eight invocations and for 64-bit integers.
//
// Reads     x [rows, columns]; columns is a multiple of 8.
// Writes    y [splits, columns], every element once.
// Dispatch  one invocation per eight columns and part, 64 per workgroup.
// Longest loop  rows_per_split / 2.
// needs: grid, sum_rows_params, lavapipe/eights
//
// Why this shape: a fetch of eight values costs a quarter of eight fetches of one. Two rows a step halve what the loop
// itself costs; it ends at its foot, because the driver runs the body of a loop that ends at its head once more, masked.
// Stores are two of four values, as making 64-bit integers of sums costs more than it saves.

@group(0) @binding(1) var<storage, read_write> x: array<vec4<u64>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = flat_index(group, local);
    let pitch = params.columns / 8u;
    if (i >= pitch * params.splits) {
        return;
    }
    var part = 0u;
    if (params.splits > 1u) {
        part = i / pitch;
    }
    let first = part * params.rows_per_split;
    let last = min(first + params.rows_per_split, params.rows);
    let column = i - part * pitch;
    var sum = Eight();
    // An odd row goes first, alone.
    if (((last - first) & 1u) == 1u) {
        sum = unpack(x[first * pitch + column]);
    }
    var row = first + ((last - first) & 1u);
    if (row < last) {
        var at = row * pitch + column;
        loop {
            let even = unpack(x[at]);
            let odd = unpack(x[at + pitch]);
            sum = plus(plus(sum, even), odd);
            at += 2u * pitch;
            row += 2u;
            if (row >= last) {
                break;
            }
        }
    }
    y[2u * i] = sum.low;
    y[2u * i + 1u] = sum.high;
}
