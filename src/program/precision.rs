//! Which tensors a program keeps as 16-bit numbers.
//!
//! Ways that were weighed: copies of weights and activations cast before each convolution (an extra pass for each, and
//! no memory saved, because the f32 activations stay for the backward pass); everything in f16 (gradients of a mean
//! loss fall below f16's smallest numbers, so losses have to be scaled, and tiny perturbations vanish); and the
//! storage type as a property of a tensor, which is what is used. The activations that convolutions leave for the
//! backward pass are the bulk of a step's memory and are of moderate size, so they are stored as f16; every kernel
//! reads them as f32 and adds in f32. Weights, gradients, images, perturbations, losses and all states stay f32.

use super::{Call, Root, RootKind, TensorId, TensorInfo};
use crate::graph::operation::codes;
use crate::kernels::constant;
use serde::{Deserialize, Serialize};

/// How numbers are stored on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits each
    #[default]
    F32,
    /// Activations in 16 bits, sums and all else in 32; where the adapter offers it
    Mixed,
}

/// Marks the roots that may be stored as f16: activations, whole, written by nothing else and read
/// by the program alone.
pub fn halve(roots: &mut [Root], tensors: &[TensorInfo], calls: &[Call], outputs: &[(String, TensorId)]) {
    let leaky = [codes::BIAS_LEAKY, codes::BORDER_BIAS_LEAKY];
    let activation = |call: &Call| leaky.contains(&constant(&call.constants, "EPILOGUE"));
    let mut written = vec![false; roots.len()];
    let mut other = vec![false; roots.len()];
    for call in calls {
        for id in &call.writes {
            let flag = if activation(call) { &mut written } else { &mut other };
            flag[tensors[id.0].root] = true;
        }
    }
    for tensor in tensors {
        // A view may start where no binding of half the bytes may.
        other[tensor.root] |= tensor.offset != 0;
    }
    for (_, id) in outputs {
        other[tensors[id.0].root] = true;
    }
    for (i, root) in roots.iter_mut().enumerate() {
        root.half = root.kind == RootKind::Computed && written[i] && !other[i];
    }
}
