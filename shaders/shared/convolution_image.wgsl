// Shared by conv2d and conv2d_input_gradient, all forms: what they read and write, and the end of every sum.

// The image that the weight is applied to, the weight, what the epilogue needs, and the result. The roles of the
// fine and coarse side are exchanged between the two kernels.
@group(0) @binding(1) var<storage, read_write> image: array<f32>;
@group(0) @binding(2) var<storage, read_write> weight: array<f32>;
// EPILOGUE 1, 2: bias [channels of the result]. 3: the activation where the result goes, of the result's shape.
@group(0) @binding(3) var<storage, read_write> beside: array<f32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;

const LEAKY_SLOPE: f32 = 0.2;

// Ends four sums. `others` are their biases, or with EPILOGUE = 3 the activations in their places.
fn finish(sums: vec4<f32>, others: vec4<f32>) -> vec4<f32> {
    if (EPILOGUE == 0u) {
        return sums;
    }
    if (EPILOGUE == 3u) {
        // Leaky ReLU keeps the sign, so its result says which slope it had.
        return select(LEAKY_SLOPE * sums, sums, others > vec4<f32>());
    }
    let values = sums + others;
    if (EPILOGUE == 1u) {
        return values;
    }
    return select(LEAKY_SLOPE * values, values, values > vec4<f32>());
}
