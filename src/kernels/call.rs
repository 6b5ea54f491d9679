//! One call of a kernel, as a program lists it and as a twin gets it.

use super::expression::Expression;
use super::params::Params;
use super::{Form, Kernel};
use crate::graph::operation::codes;
use std::sync::Arc;

/// A tensor of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TensorId(pub(crate) usize);

/// Values of WGSL `override` constants, by name.
pub type Constants = Vec<(&'static str, u32)>;

/// What one call hands to a twin: plain slices in the order of the shader's bindings.
pub struct Arguments<'a> {
    /// The parameter struct's bytes.
    pub params: &'a [u8],
    /// Override constants.
    pub constants: &'a [(&'static str, u32)],
    /// What a fused call computes; other kernels have none.
    pub expression: Option<&'a Expression>,
    /// Tensors that are read.
    pub reads: &'a [&'a [f32]],
    /// Tensors that are written (and read, where the kernel works in place).
    pub writes: &'a mut [&'a mut [f32]],
}

impl Arguments<'_> {
    /// The parameters as their struct.
    pub fn params<P: Params>(&self) -> P {
        bytemuck::pod_read_unaligned(self.params)
    }

    /// The value of an override constant; 0 if the call does not set it.
    pub fn constant(&self, name: &str) -> u32 {
        constant(self.constants, name)
    }
}

/// The value of `name` among `constants`, 0 if absent.
pub fn constant(constants: &[(&'static str, u32)], name: &str) -> u32 {
    constants.iter().find(|(n, _)| *n == name).map_or(0, |&(_, v)| v)
}

/// One kernel call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// Bytes of its parameter struct.
    pub params: Vec<u8>,
    /// Values of its override constants.
    pub constants: Constants,
    /// What a fused call computes; other kernels have none.
    pub expression: Option<Arc<Expression>>,
    /// Tensors read, in binding order.
    pub reads: Vec<TensorId>,
    /// Tensors written, in binding order after the reads.
    pub writes: Vec<TensorId>,
    /// Floating-point operations (2 per multiply-add), counted as direct convolution.
    pub flops: u64,
}

impl Call {
    /// Whether operand `index`, counted over reads, is read at all. An epilogue without an operand, or a gradient of pooling without
    /// a mask, leaves the last one free, which names a tensor all the same.
    pub fn is_read(&self, index: usize) -> bool {
        let free = [("EPILOGUE", codes::NOTHING), ("MASK", 0)];
        let last = index > 0 && index + 1 == self.reads.len();
        !(last && free.iter().any(|constant| self.constants.contains(constant)))
    }

    /// The forms that can compute it in a browser, the most specific last.
    pub fn forms_in_browsers(&self) -> impl Iterator<Item = &'static Form> {
        let forms = self.kernel.forms.iter().filter(|form| form.in_browsers());
        forms.filter(|form| (form.fits)(&self.params, &self.constants))
    }

    /// What the twin gets.
    pub fn arguments<'a>(&'a self, reads: &'a [&'a [f32]], writes: &'a mut [&'a mut [f32]]) -> Arguments<'a> {
        let (params, constants) = (self.params.as_slice(), self.constants.as_slice());
        Arguments { params, constants, expression: self.expression.as_deref(), reads, writes }
    }
}
