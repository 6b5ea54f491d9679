// Shared by binary and the fused kernels: equation 5 of the paper.

// The images' clamp before the logit of equation 5.
const COMPOSE_FLOOR: f32 = 1e-6;

// sigmoid(logit(image) + 2 g), written so that no intermediate overflows.
fn compose(image: f32, g: f32) -> f32 {
    let x = clamp(image, COMPOSE_FLOOR, 1.0 - COMPOSE_FLOOR);
    let e = exp(-2.0 * abs(g));
    let odds = select((1.0 - x) * e, 1.0 - x, g < 0.0);
    let weight = select(x, x * e, g < 0.0);
    return weight / (weight + odds);
}

