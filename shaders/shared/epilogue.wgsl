// Shared by what ends a convolution's sums: the epilogue. The slope of leaky ReLU below zero is params.slope.

// Sums as they are.
const NOTHING: u32 = 0u;
// A bias per channel is added.
const BIAS: u32 = 1u;
// A bias per channel is added, then leaky ReLU.
const BIAS_LEAKY: u32 = 2u;
// Leaky ReLU's backward: the sum, times the slope where the activation in its place is not positive.
const LEAKY_MASK: u32 = 3u;
// A bias of the image and of the place by the border is added, then leaky ReLU.
const BORDER_BIAS_LEAKY: u32 = 4u;

override EPILOGUE: u32 = NOTHING;

// Ends four sums. `others` are their biases, or with LEAKY_MASK the activations in their places.
fn finish(sums: vec4<f32>, others: vec4<f32>) -> vec4<f32> {
    return finish_as(EPILOGUE, sums, others);
}

// The same for an epilogue that is a parameter.
fn finish_as(epilogue: u32, sums: vec4<f32>, others: vec4<f32>) -> vec4<f32> {
    if (epilogue == NOTHING) {
        return sums;
    }
    if (epilogue == LEAKY_MASK) {
        // Leaky ReLU keeps the sign, so its result says which slope it had.
        return select(params.slope * sums, sums, others > vec4<f32>());
    }
    let values = sums + others;
    if (epilogue == BIAS) {
        return values;
    }
    return select(params.slope * values, values, values > vec4<f32>());
}
