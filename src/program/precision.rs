//! Which tensors a program keeps as 16-bit numbers.
//!
//! The storage type is a property of a tensor. The activations that convolutions leave for the backward pass are most of a step's
//! memory, and their values are moderate. So they are stored as f16. Every kernel reads them as f32 and adds in f32. Weights,
//! gradients, images, perturbations, losses and states stay f32.
//!
//! Other ways were worse. Copies of weights and activations that are cast before each convolution take a pass each and save no
//! memory, because the f32 activations stay for the backward pass. With everything in f16 the gradients of a mean loss fall below
//! the smallest numbers, so losses must be scaled, and tiny perturbations vanish.

use super::{Call, Root, RootKind, TensorId, TensorInfo};
use crate::graph::operation::codes;
use crate::kernels::constant;
use serde::{Deserialize, Serialize};

/// How numbers are stored on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "command-line", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits each
    #[default]
    F32,
    /// Activations in 16 bits, sums and all else in 32; where the adapter offers it
    Mixed,
}

impl Precision {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Mixed => "mixed",
        }
    }
}

/// Marks the roots that may be stored as f16: whole activations that one call writes and that only the program reads.
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
