// y = f(l, r), element by element; either operand may be broadcast.
// Reads l and r (read as LEFT and RIGHT say); writes y [count]. The functions are those of graph::Binary,
// by OPERATION. Dispatch: one invocation per VALUES values, 64 per workgroup. Longest loop: VALUES.
// needs: grid, compose

struct BinaryParams {
    count: u32,
    left_length: u32,
    left_stretch: u32,
    right_length: u32,
    right_stretch: u32,
    a: f32,
    b: f32,
}

override OPERATION: u32 = 0u;
override LEFT: u32 = 0u;
override RIGHT: u32 = 0u;

@group(0) @binding(0) var<uniform> params: BinaryParams;
@group(0) @binding(1) var<storage, read_write> left: array<f32>;
@group(0) @binding(2) var<storage, read_write> right: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn index(how: u32, i: u32, length: u32, stretch: u32) -> u32 {
    switch how {
        case 1u: { return i % length; }
        case 2u: { return i / stretch; }
        case 3u: { return 0u; }
        default: { return i; }
    }
}

fn apply(l: f32, r: f32) -> f32 {
    switch OPERATION {
        case 1u: { return l - r; }
        case 2u: { return l * r; }
        case 3u: { return l / r; }
        case 4u: { return max(l, r); }
        case 5u: { return min(l, r); }
        case 6u: { return select(0.0, 1.0, l == r); }
        case 7u: { return select(0.0, 1.0, l > r); }
        case 8u: { return select(params.a * l, l, r > 0.0); }
        case 9u: { return select(0.0, l, r >= params.a && r <= params.b); }
        case 10u: { return compose(l, r); }
        case 11u: { return 2.0 * r * (1.0 - r) * l; }
        case 12u: { return select(0.0, l, r != 0.0); }
        default: { return l + r; }
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first = first_value(group, local);
    let end = min(first + VALUES * GROUP, params.count);
    for (var i = first; i < end; i += GROUP) {
        let l = left[index(LEFT, i, params.left_length, params.left_stretch)];
        let r = right[index(RIGHT, i, params.right_length, params.right_stretch)];
        y[i] = apply(l, r);
    }
}
