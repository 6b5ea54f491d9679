// col2im, form lavapipe.eights: as shaders/col2im.wgsl, for a 3x3 kernel, or a 1x1 kernel at stride 1:
//
//   fine[n, i, a] = epilogue(sum over k of matrix[(n, o), (k, a)]), where STRIDE*o + k - KERNEL/2 = i
//
// It asks for subgroups of exactly eight invocations and for 64-bit integers.
//
// Reads     matrix: coarse positions x columns (all taps and channels), in the layout of shared/blocks.wgsl; fine_channels is a
//           multiple of 8, and there are as many rows as positions, rounded up to a multiple of 8;
//           beside: bias [fine_channels], or an activation like fine (EPILOGUE = LEAKY_MASK), or border biases
//           [batch, 3*STRIDE, 3*STRIDE, fine_channels] (EPILOGUE = BORDER_BIAS_LEAKY), or nothing (EPILOGUE = NOTHING).
// Writes    fine [batch, STRIDE*height, STRIDE*width, fine_channels], every element once.
// Dispatch  x = fine_channels / 8, or with KERNEL = 1 fine_channels / (8 BLOCKS), y = ceil(batch*height*width / 8).
// Longest loop  none: outside loops a fetch has no mask to test.
// needs: grid, convolution, epilogue, lavapipe/eights
//
// A lane takes one coarse position and eight channels, and at stride 2 the four fine pixels that it and its neighbours to
// the right and below meet in nine taps; at stride 1 nine neighbours meet its own pixel.

@group(0) @binding(1) var<storage, read_write> matrix: array<vec4<u64>>;
@group(0) @binding(2) var<storage, read_write> beside: array<vec4<u64>>;
@group(0) @binding(3) var<storage, read_write> fine: array<vec4<u64>>;

// Blocks of eight channels per lane with KERNEL = 1: 1, 2 or 4.
override BLOCKS: u32 = 1u;

struct Place {
    image: u32,
    own: vec2<u32>,
    size: vec2<u32>,
    channels: u32,
    channel: u32,
}

// One tap of the coarse position `row`; zero where there is none.
fn load(place: Place, row: u32, tap: u32, inside: bool) -> Eight {
    let at = select(0u, row, inside);
    let block = at / 8u * KERNEL * KERNEL * place.channels + tap * place.channels + place.channel;
    return keep(unpack(matrix[block * 8u + at % 8u]), inside);
}

// At stride 1: the tap of the neighbour that meets the own pixel with it.
fn load_near(place: Place, row: u32, tap: u32) -> Eight {
    // Rows and columns before the first wrap around to large numbers.
    let near = place.own + 1u - vec2<u32>(tap / 3u, tap % 3u);
    let inside = near.x < place.size.x && near.y < place.size.y;
    return load(place, row + (1u - tap / 3u) * place.size.y + 1u - tap % 3u, tap, inside);
}

fn store(place: Place, phase: vec2<u32>, sum: Eight) {
    let position = STRIDE * place.own + phase;
    let size = STRIDE * place.size;
    let pixel = (place.image * size.x + position.x) * size.y + position.y;
    let at = pixel * place.channels + place.channel;
    var others = Eight();
    if (EPILOGUE == BORDER_BIAS_LEAKY) {
        let inner = select(vec2<u32>(1u), vec2<u32>(2u), place.own == place.size - 1u);
        let border = select(inner, vec2<u32>(), place.own == vec2<u32>()) * STRIDE + phase;
        let first = (place.image * 3u * STRIDE + border.x) * 3u * STRIDE + border.y;
        others = unpack(beside[first * place.channels + place.channel]);
    } else if (EPILOGUE == LEAKY_MASK) {
        others = unpack(beside[select(0u, at, place.image < params.batch)]);
    } else if (EPILOGUE != NOTHING) {
        others = unpack(beside[place.channel]);
    }
    if (place.image < params.batch) {
        fine[at] = pack(Eight(finish(sum.low, others.low), finish(sum.high, others.high)));
    }
}

fn move_block(place: Place, row: u32, block: u32) {
    let own = Place(place.image, place.own, place.size, place.channels, place.channel + block);
    store(own, vec2<u32>(), load(own, row, 0u, true));
}

fn move_blocks(place: Place, row: u32) {
    move_block(place, row, 0u);
    if (BLOCKS > 1u) {
        move_block(place, row, 1u);
    }
    if (BLOCKS > 2u) {
        move_block(place, row, 2u);
        move_block(place, row, 3u);
    }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let row = 8u * group.y + local.x;
    let size = vec2<u32>(params.height, params.width);
    let line = small_divide(row, size.y);
    let image = small_divide(line, size.x);
    let own = vec2<u32>(line - image * size.x, row - line * size.y);
    if (KERNEL == 1u) {
        move_blocks(Place(image, own, size, params.fine_channels / 8u, BLOCKS * group.x), row);
        return;
    }
    let place = Place(image, own, size, params.fine_channels / 8u, group.x);
    if (STRIDE == 1u) {
        let upper = plus(plus(load_near(place, row, 0u), load_near(place, row, 1u)), load_near(place, row, 2u));
        let middle = plus(plus(load_near(place, row, 3u), load_near(place, row, 4u)), load_near(place, row, 5u));
        let lower = plus(plus(load_near(place, row, 6u), load_near(place, row, 7u)), load_near(place, row, 8u));
        store(place, vec2<u32>(), plus(plus(upper, middle), lower));
        return;
    }
    let below = own.x + 1u < size.x;
    let right = own.y + 1u < size.y;
    store(place, vec2<u32>(0u, 0u), load(place, row, 4u, true));
    store(place, vec2<u32>(0u, 1u), plus(load(place, row, 5u, true), load(place, row + 1u, 3u, right)));
    store(place, vec2<u32>(1u, 0u), plus(load(place, row, 7u, true), load(place, row + size.y, 1u, below)));
    let upper = plus(load(place, row, 8u, true), load(place, row + 1u, 6u, right));
    let lower = plus(load(place, row + size.y, 2u, below), load(place, row + size.y + 1u, 0u, below && right));
    store(place, vec2<u32>(1u, 1u), plus(upper, lower));
}
