// Shared by the kernels of pooling with stride and padding: the geometry. src/kernels/params.rs says more about the fields.

struct WindowParams {
    batch: u32,
    height: u32,
    width: u32,
    channels: u32,
    rows: u32,
    columns: u32,
    window_height: u32,
    window_width: u32,
    stride_height: u32,
    stride_width: u32,
    top: u32,
    left: u32,
    bottom: u32,
    right: u32,
    keys: u32,
    divisor: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: WindowParams;

// The first cell of a window that is in the image, and the one behind its last.
fn cells(window: u32, size: u32, stride: u32, before: u32, length: u32) -> vec2<u32> {
    let begin = window * stride;
    return vec2<u32>(max(begin, before) - before, min(begin + size, before + length) - before);
}

fn rows_of(row: u32) -> vec2<u32> {
    return cells(row, params.window_height, params.stride_height, params.top, params.height);
}

fn columns_of(column: u32) -> vec2<u32> {
    return cells(column, params.window_width, params.stride_width, params.left, params.width);
}

// The first window that covers a cell, and the one behind the last.
fn covering(cell: u32, size: u32, stride: u32, before: u32, windows: u32) -> vec2<u32> {
    let at = cell + before;
    let first = (max(at + 1u, size) - size + stride - 1u) / stride;
    return vec2<u32>(first, min(at / stride + 1u, windows));
}

fn rows_over(y: u32) -> vec2<u32> {
    return covering(y, params.window_height, params.stride_height, params.top, params.rows);
}

fn columns_over(x: u32) -> vec2<u32> {
    return covering(x, params.window_width, params.stride_width, params.left, params.columns);
}

// Cells of a window that a mean counts along one side: those in the image, or those in the padding too.
fn counted(window: u32, size: u32, stride: u32, before: u32, length: u32, after: u32) -> u32 {
    let begin = window * stride;
    if params.divisor == 2u {
        return min(begin + size, before + length + after) - begin;
    }
    return min(begin + size, before + length) - max(begin, before);
}

// What the sum over a window is multiplied by.
fn share(row: u32, column: u32) -> f32 {
    if params.divisor == 0u {
        return params.scale;
    }
    let height = counted(row, params.window_height, params.stride_height, params.top, params.height, params.bottom);
    let width = counted(column, params.window_width, params.stride_width, params.left, params.width, params.right);
    return params.scale / f32(height * width);
}
