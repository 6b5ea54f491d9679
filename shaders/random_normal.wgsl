// Standard normal numbers from a counter. A number depends only on the seed, the counter and its index, so a part of a batch gets the
// same numbers as in the whole batch.
// Reads seed [3], the bit patterns of (seed, counter, index of the first number); writes y [count].
// Dispatch: one invocation per value, 64 per workgroup. No loop.
// needs: grid
//
// PCG4D (Jarzynski and Olano 2020) for the integers, as in src/random.rs; Box and Muller for the normals.

struct RandomParams {
    count: u32,
}

@group(0) @binding(0) var<uniform> params: RandomParams;
@group(0) @binding(1) var<storage, read_write> seed: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

// random::Stream::Attack mixed as random::Random::bits does: 6 · 0x9e3779b9, wrapped.
const STREAM: u32 = 0xb54cda56u;

fn pcg4d(seed: vec4<u32>) -> vec4<u32> {
    var v = seed * 1664525u + 1013904223u;
    v.x += v.y * v.w;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v.w += v.y * v.z;
    v ^= v >> vec4(16u);
    v.x += v.y * v.w;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v.w += v.y * v.z;
    return v;
}

fn unit(bits: u32) -> f32 {
    // The largest sum would round up to 2^24.
    return min((f32(bits >> 8u) + 0.5) / 16777216.0, 0.99999994);
}

// ln u. Drivers compute log to an absolute error, which near 1 is all of it; there, 2·atanh((u − 1) / (u + 1)).
fn log_of_unit(u: f32) -> f32 {
    if u < 0.75 {
        return log(u);
    }
    let s = (u - 1.0) / (u + 1.0);
    let q = s * s;
    return 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (0.2 + q / 7.0)));
}

// cos(2πt) for t in [0, 1]. WGSL lets a driver's cos be wrong by 2^-11, and SwiftShader's is by 1e-4. By symmetry t becomes an eighth of a
// turn or less, exactly; there the series of cos and sin are exact to rounding.
fn cos_of_turns(t: f32) -> f32 {
    let half = abs(t - 0.5);
    let quarter = min(half, 0.5 - half);
    let near = quarter <= 0.125;
    let x = 6.283185307179586 * select(0.25 - quarter, quarter, near);
    let q = x * x;
    let c = 1.0 - q * (0.5 - q * (1.0 / 24.0 - q * (1.0 / 720.0 - q / 40320.0)));
    let s = x * (1.0 - q * (1.0 / 6.0 - q * (1.0 / 120.0 - q * (1.0 / 5040.0 - q / 362880.0))));
    return select(-1.0, 1.0, half > 0.25) * select(s, c, near);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = flat_index(group, local);
    if i >= params.count {
        return;
    }
    let bits = pcg4d(vec4(seed[0], STREAM, seed[1], seed[2] + i));
    let radius = sqrt(-2.0 * log_of_unit(unit(bits.x)));
    y[i] = radius * cos_of_turns(unit(bits.y));
}
