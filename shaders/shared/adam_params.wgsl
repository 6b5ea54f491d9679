// Shared by the forms of adam: its parameters.

struct AdamParams {
    count: u32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: AdamParams;

// Whether an average is kept; otherwise nothing of it is read or written.
override AVERAGE: u32 = 1u;
