// conv2d_input_gradient, form lavapipe.rgb: as shaders/conv2d_input_gradient.wgsl towards images of three channels at KERNEL
// = 3, STRIDE = 1:
//
//   fine[n, i, a] = epilogue(sum over k, b of coarse[n, i + 1 - k, b] * weight[k, a, b] + bias[a])
//
// It asks for subgroups of exactly eight invocations and for 64-bit integers.
//
// Reads     image: coarse [batch, height, width, coarse_channels], zero outside; coarse_channels is a multiple of 8.
//           weight [3, 3, 3, coarse_channels],
//           beside: bias [3], or an activation like fine (EPILOGUE = LEAKY_MASK), or nothing (EPILOGUE = NOTHING).
// Writes    result: fine [batch, height, width, 3], every element once.
// Dispatch  x = ceil(width / 6), y = ceil(height / 4), z = batch.
// Longest loop  coarse_channels / 8.
// needs: convolution, epilogue, lavapipe/eights, lavapipe/rows, lavapipe/rgb_weights
//
// A product with the weight and a sum over its taps would write and read 27 values for the three of a pixel. Here a lane is a
// column of six coarse rows, and sums what they give to four fine rows, for each of the three columns beside one another
// that they reach; at the end neighbouring lanes exchange those. The outer lanes have only one neighbour, so six of eight
// columns are stored. lavapipe/shared/rgb_weights.wgsl has how the weights reach all lanes.

@group(0) @binding(1) var<storage, read_write> image: array<vec4<u64>>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec4<u64>>;
@group(0) @binding(3) var<storage, read_write> beside: array<f32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;

// Columns that a workgroup stores, and rows.
const COLUMNS: u32 = 6u;
const ROWS: u32 = 4u;

// What a lane's column gives to four rows of three channels of one column.
struct Sums {
    red: vec4<f32>,
    green: vec4<f32>,
    blue: vec4<f32>,
}

// Six rows of a column, eight channels each.
struct Column {
    row0: Eight,
    row1: Eight,
    row2: Eight,
    row3: Eight,
    row4: Eight,
    row5: Eight,
}

fn load(at: u32, inside: bool) -> Eight {
    return keep(unpack(image[select(0u, at, inside)]), inside);
}

fn product(values: Eight, weights: Eight) -> f32 {
    return dot(values.low, weights.low) + dot(values.high, weights.high);
}

fn add(sums: vec4<f32>, weights: Eight, a: Eight, b: Eight, c: Eight, d: Eight) -> vec4<f32> {
    return sums + vec4<f32>(product(a, weights), product(b, weights), product(c, weights), product(d, weights));
}

// Adds what three taps one above the other give to one channel: the first meets the lower rows.
fn add_taps(sums: vec4<f32>, column: Column, first: Eight, second: Eight, third: Eight) -> vec4<f32> {
    let a = add(sums, first, column.row2, column.row3, column.row4, column.row5);
    let b = add(a, second, column.row1, column.row2, column.row3, column.row4);
    return add(b, third, column.row0, column.row1, column.row2, column.row3);
}

fn store(at: u32, channel: u32, sum: f32) {
    var other = 0.0;
    if (EPILOGUE == LEAKY_MASK) {
        other = beside[at + channel];
    } else if (EPILOGUE != NOTHING) {
        other = beside[channel];
    }
    result[at + channel] = finish(vec4<f32>(sum), vec4<f32>(other)).x;
}

fn store_pixel(at: u32, inside: bool, red: f32, green: f32, blue: f32) {
    if (inside) {
        store(at, 0u, red);
        store(at, 1u, green);
        store(at, 2u, blue);
    }
}

// The sums of one channel: the first column of taps comes from the right, the third from the left.
fn meet(lane: u32, right: vec4<f32>, own: vec4<f32>, left: vec4<f32>) -> vec4<f32> {
    return subgroupShuffle(right, (lane + 1u) % 8u) + own + subgroupShuffle(left, (lane + 7u) % 8u);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let pitch = params.coarse_channels / 8u;
    // Before the first row or column numbers wrap around to large ones.
    let x = COLUMNS * group.x + lane - 1u;
    let y = ROWS * group.y;
    let image_row = group.z * params.height;
    let line = params.width * pitch;
    let begin = (image_row + y) * line + x * pitch;
    let known = x < params.width;
    let above = known && y > 0u;
    let inside = vec4<bool>(known) & (y + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.height));
    let below = known && y + 4u < params.height;
    var first = Sums();
    var second = Sums();
    var third = Sums();
    var block = 0u;
    loop {
        let at = begin + block;
        let w = load_weights(lane, block, pitch);
        let column = Column(
            load(at - line, above),
            load(at, inside.x),
            load(at + line, inside.y),
            load(at + 2u * line, inside.z),
            load(at + 3u * line, inside.w),
            load(at + 4u * line, below),
        );
        // Rows 3 * tap + channel of the weight; taps one above the other are nine rows apart.
        first.red = add_taps(first.red, column, w.first.row0, w.second.row1, w.third.row2);
        first.green = add_taps(first.green, column, w.first.row1, w.second.row2, w.third.row3);
        first.blue = add_taps(first.blue, column, w.first.row2, w.second.row3, w.third.row4);
        second.red = add_taps(second.red, column, w.first.row3, w.second.row4, w.third.row5);
        second.green = add_taps(second.green, column, w.first.row4, w.second.row5, w.third.row6);
        second.blue = add_taps(second.blue, column, w.first.row5, w.second.row6, w.third.row7);
        third.red = add_taps(third.red, column, w.first.row6, w.second.row7, w.fourth.row0);
        third.green = add_taps(third.green, column, w.first.row7, w.third.row0, w.fourth.row1);
        third.blue = add_taps(third.blue, column, w.second.row0, w.third.row1, w.fourth.row2);
        block++;
        if (block >= pitch) {
            break;
        }
    }
    let red = meet(lane, first.red, second.red, third.red);
    let green = meet(lane, first.green, second.green, third.green);
    let blue = meet(lane, first.blue, second.blue, third.blue);
    let stores = inside & vec4<bool>(lane > 0u && lane < 7u);
    let to = 3u * ((image_row + y) * params.width + x);
    store_pixel(to, stores.x, red.x, green.x, blue.x);
    store_pixel(to + 3u * params.width, stores.y, red.y, green.y, blue.y);
    store_pixel(to + 6u * params.width, stores.z, red.z, green.z, blue.z);
    store_pixel(to + 9u * params.width, stores.w, red.w, green.w, blue.w);
}
