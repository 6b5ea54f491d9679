// y = f(x), element by element, or x broadcast to a larger shape.
// Reads x (read as SOURCE says); writes y [count]. The functions are those of graph::Unary, by OPERATION.
// Dispatch: one invocation per VALUES values, 64 per workgroup. Longest loop: VALUES (of a power: 5 times that).
// needs: grid, functions

struct UnaryParams {
    count: u32,
    length: u32,
    stretch: u32,
    a: f32,
    b: f32,
}

override OPERATION: u32 = 0u;
override SOURCE: u32 = 0u;

@group(0) @binding(0) var<uniform> params: UnaryParams;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn source_index(i: u32) -> u32 {
    switch SOURCE {
        case 1u: { return i % params.length; }
        case 2u: { return i / params.stretch; }
        case 3u: { return 0u; }
        default: { return i; }
    }
}

fn apply(v: f32) -> f32 {
    switch OPERATION {
        case 1u: { return params.a * v + params.b; }
        case 2u: { return clamp(v, params.a, params.b); }
        case 3u: { return select(params.a * v, v, v > 0.0); }
        case 4u: { return exp(v); }
        case 5u: { return log(v); }
        case 6u: { return hyperbolic_tangent(v); }
        case 7u: { return 1.0 / (1.0 + exp(-v)); }
        case 8u: { return sqrt(v); }
        case 9u: { return v * v; }
        case 10u: { return abs(v); }
        case 11u: { return sign(v); }
        case 12u: { return 1.0 / v; }
        case 13u: { return erf(v); }
        case 14u: { return softplus(v); }
        case 15u: { return power(v, params.a); }
        default: { return v; }
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first = first_value(group, local);
    let end = min(first + VALUES * GROUP, params.count);
    for (var i = first; i < end; i += GROUP) {
        y[i] = apply(x[source_index(i)]);
    }
}
