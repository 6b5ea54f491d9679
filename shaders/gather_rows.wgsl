// Row i of the result is row indices[i] of x, with EPILOGUE = BIAS_LEAKY added to the operand `beside`, then leaky ReLU. Images
// take the result of the generator for their label in this way.
// Reads x [any, columns], indices [rows] (as numbers) and beside [rows, columns], or nothing there (EPILOGUE = NOTHING); writes y
// [rows, columns].
// Dispatch: one invocation per value, 64 per workgroup. No loop.
// needs: grid, gather_rows_params, epilogue

@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> indices: array<f32>;
@group(0) @binding(3) var<storage, read_write> beside: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = flat_index(group, local);
    if i >= params.rows * params.columns {
        return;
    }
    let row = i / params.columns;
    let chosen = x[u32(indices[row]) * params.columns + i - row * params.columns];
    var other = 0.0;
    if EPILOGUE != NOTHING {
        other = beside[i];
    }
    y[i] = finish(vec4<f32>(chosen), vec4<f32>(other)).x;
}
