// Shared by what ends a convolution's sums: the epilogue.

// 0: nothing, 1: bias, 2: bias, then leaky ReLU, 3: leaky ReLU's backward mask, 4: a bias of the image and of the place
// by the border, then leaky ReLU.
override EPILOGUE: u32 = 0u;

const LEAKY_SLOPE: f32 = 0.2;

// Ends four sums. `others` are their biases, or with EPILOGUE = 3 the activations in their places.
fn finish(sums: vec4<f32>, others: vec4<f32>) -> vec4<f32> {
    return finish_as(EPILOGUE, sums, others);
}

// The same for an epilogue that is a parameter.
fn finish_as(epilogue: u32, sums: vec4<f32>, others: vec4<f32>) -> vec4<f32> {
    if (epilogue == 0u) {
        return sums;
    }
    if (epilogue == 3u) {
        // Leaky ReLU keeps the sign, so its result says which slope it had.
        return select(LEAKY_SLOPE * sums, sums, others > vec4<f32>());
    }
    let values = sums + others;
    if (epilogue == 1u) {
        return values;
    }
    return select(LEAKY_SLOPE * values, values, values > vec4<f32>());
}
