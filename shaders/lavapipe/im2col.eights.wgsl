// im2col, form lavapipe.eights: as shaders/im2col.wgsl:
//
//   matrix[(n, o), (k, a)] = fine[n, STRIDE*o + k - KERNEL/2, a], or with TRANSPOSED = 1 matrix[(k, a), (n, o)]
//
// It asks for subgroups of exactly eight invocations and for 64-bit integers.
//
// Reads     fine [batch, STRIDE*height, STRIDE*width, fine_channels], zero outside; fine_channels is a multiple of 8.
// Writes    matrix: positions x columns (all taps and channels), or the other way round, in the layout of shared/blocks.wgsl; the
//           number of positions is rounded up to a multiple of 8, and rows beyond are 0. Every element once.
// Dispatch  x = fine_channels / 8, or with KERNEL = 1 fine_channels / (8 BLOCKS), y = ceil(batch*height*width / 8).
// Longest loop  none: outside loops a fetch has no mask to test.
// needs: grid, convolution, lavapipe/eights, lavapipe/transpose
//
// A lane takes one position and eight channels of every tap, or of one tap as many blocks of eight channels as divide them,
// because starting a workgroup costs as much as several of them.

@group(0) @binding(1) var<storage, read_write> fine: array<vec4<u64>>;
@group(0) @binding(2) var<storage, read_write> matrix: array<vec4<u64>>;

override TRANSPOSED: u32 = 0u;
// Blocks of eight channels per lane with KERNEL = 1: 1, 2 or 4.
override BLOCKS: u32 = 1u;

// Where the eight positions of a group are read from and go to; channels in blocks of eight.
struct Place {
    image: u32,
    corner: vec2<u32>,
    size: vec2<u32>,
    channels: u32,
    group: u32,
    lane: u32,
}

fn move_tap(place: Place, own: u32, tap: u32) {
    let at = place.corner + vec2<u32>(tap / KERNEL, tap % KERNEL);
    let inside = place.image < params.batch && at.x < place.size.x && at.y < place.size.y;
    let pixel = (place.image * place.size.x + at.x) * place.size.y + at.y;
    // As they are: taking 64-bit integers apart and putting them together costs more than a fetch.
    let words = select(vec4<u64>(), fine[select(0u, pixel, inside) * place.channels + own], inside);
    let row = tap * place.channels + own;
    if (TRANSPOSED == 1u) {
        let groups = (params.batch * params.height * params.width + 7u) / 8u;
        matrix[(row * groups + place.group) * 8u + place.lane] = pack(transpose8(unpack(words), place.lane));
    } else {
        matrix[(place.group * KERNEL * KERNEL * place.channels + row) * 8u + place.lane] = words;
    }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let pixel = 8u * group.y + local.x;
    let line = small_divide(pixel, params.width);
    let image = small_divide(line, params.height);
    let corner = STRIDE * vec2<u32>(line - image * params.height, pixel - line * params.width) - KERNEL / 2u;
    let size = STRIDE * vec2<u32>(params.height, params.width);
    let place = Place(image, corner, size, params.fine_channels / 8u, group.y, local.x);
    if (KERNEL == 3u) {
        move_tap(place, group.x, 0u);
        move_tap(place, group.x, 1u);
        move_tap(place, group.x, 2u);
        move_tap(place, group.x, 3u);
        move_tap(place, group.x, 4u);
        move_tap(place, group.x, 5u);
        move_tap(place, group.x, 6u);
        move_tap(place, group.x, 7u);
        move_tap(place, group.x, 8u);
        return;
    }
    let own = BLOCKS * group.x;
    move_tap(place, own, 0u);
    if (BLOCKS > 1u) {
        move_tap(place, own + 1u, 0u);
    }
    if (BLOCKS > 2u) {
        move_tap(place, own + 2u, 0u);
        move_tap(place, own + 3u, 0u);
    }
}
