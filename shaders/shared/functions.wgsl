// Shared by unary and elementwise: functions that WGSL lacks, or computes too roughly.

// The error function: N. Juffa's minimax polynomials (Stack Overflow, answer 35148199), within 6e-8 of it everywhere. NaN stays NaN.
fn erf(x: f32) -> f32 {
    let s = x * x;
    var near = -5.96761703e-4 * s + 4.99119423e-3;
    near = near * s - 2.67681349e-2;
    near = near * s + 1.12819925e-1;
    near = near * s - 3.76125336e-1;
    near = near * s + 1.28379166e-1;
    near = near * x + x;
    // From 4 on it is 1; the polynomial would overflow.
    let t = min(abs(x), 4.0);
    let u = t * t;
    var far = (-1.72853470e-5 * t + 3.83197126e-4) * u + (-3.88396438e-3 * t + 2.42546219e-2);
    far = far * t - 1.06777877e-1;
    far = far * t - 6.34846687e-1;
    far = far * t - 1.28717512e-1;
    far = far * t - t;
    return select(near, sign(x) * (1.0 - exp(far)), abs(x) > 0.927734375);
}

// tanh. WGSL bounds only the absolute error, which is as large as a value near 0. So a series computes it there.
fn hyperbolic_tangent(x: f32) -> f32 {
    let s = x * x;
    let series = x * (1.0 - s * (1.0 / 3.0 - s * (2.0 / 15.0 - s * (17.0 / 315.0))));
    // tanh overflows on some drivers beyond |x| = 44.
    return select(tanh(clamp(x, -20.0, 20.0)), series, abs(x) < 0.1);
}

// log(1 + e^x) without overflow. For small e^-|x| the logarithm is a series, for 1 + e^-|x| would round it away.
fn softplus(x: f32) -> f32 {
    let e = exp(-abs(x));
    let series = e * (1.0 - e * (0.5 - e * (1.0 / 3.0 - e * (0.25 - e * 0.2))));
    return max(x, 0.0) + select(log(1.0 + e), series, e < 0.05);
}

// x^a. WGSL's pow has no negative x, and loses digits to the logarithm; multiples of a half are products and roots.
fn power(x: f32, a: f32) -> f32 {
    let halves = abs(2.0 * a);
    if halves <= 32.0 && halves == floor(halves) {
        var rest = u32(halves);
        var result = 1.0;
        if (rest & 1u) == 1u {
            result = sqrt(x);
        }
        var factor = x;
        for (rest >>= 1u; rest > 0u; rest >>= 1u) {
            if (rest & 1u) == 1u {
                result *= factor;
            }
            factor *= factor;
        }
        return select(result, 1.0 / result, a < 0.0);
    }
    let size = pow(abs(x), a);
    if x < 0.0 {
        let odd = abs(a - 2.0 * floor(0.5 * a)) == 1.0;
        // A root of a negative number is none.
        return select(sqrt(x), select(size, -size, odd), a == floor(a));
    }
    return size;
}
