// Shared by conv2d and conv2d_input_gradient, all forms: what they read and write.

// The image that the weight is applied to, the weight, what the epilogue needs, and the result. The roles of the
// fine and coarse side are swapped between the two kernels.
@group(0) @binding(1) var<storage, read_write> image: array<f32>;
@group(0) @binding(2) var<storage, read_write> weight: array<f32>;
// BIAS, BIAS_LEAKY: bias [channels of the result]. LEAKY_MASK: the activation where the result goes, of the result's shape.
// BORDER_BIAS_LEAKY: border biases [batch, 3*STRIDE, 3*STRIDE, channels of the result] (graph::Borders).
@group(0) @binding(3) var<storage, read_write> beside: array<f32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;
