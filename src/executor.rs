//! One interface over both executors: a [`Device`] runs programs, a [`Workspace`] holds the named states
//! that programs share (weights, moments, moving averages), a [`Session`] is a program bound to them.

mod session;
mod workspace;

use crate::cpu;
pub use crate::cpu::executor::Patch;
use crate::gpu::GpuError;
use crate::gpu::adapter::{self, AdapterChoice};
use crate::gpu::device::{Checks, Forms, Gpu, Options};
use crate::gpu::tuning::{KernelChoices, Tune};
use crate::memory::OutOfMemory;
use crate::program::precision::Precision;
use crate::program::{MemoryLimits, ProgramError};
pub use session::{Outputs, Run, Session};
use std::sync::Arc;
pub use workspace::Workspace;

/// Where programs run.
#[derive(Clone)]
pub enum Device {
    /// The CPU path; needs no driver.
    Cpu(cpu::Mode),
    /// An opened adapter.
    Gpu(Arc<Gpu>),
}

/// Why a computation could not be prepared or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecutionError {
    /// The device refused.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The program does not fit the device.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The graph could not be built.
    #[error(transparent)]
    Graph(#[from] crate::graph::GraphError),
    /// Somebody asked for an end, see [`interruption`](crate::interruption).
    #[error("interrupted")]
    Interrupted,
    /// The CPU path got no memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// A name that the program or workspace does not have.
    #[error("there is no {kind} named {name}")]
    Unknown {
        /// Input, output or state.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A tensor of another length than expected.
    #[error("{name} has {expected} values, not {actual}")]
    Length {
        /// The tensor.
        name: String,
        /// What the program or workspace has.
        expected: usize,
        /// What was given.
        actual: usize,
    },
}

impl ExecutionError {
    /// Whether less at a time might fit.
    pub fn is_too_large(&self) -> bool {
        matches!(
            self,
            Self::Program(
                ProgramError::TensorTooLarge { .. }
                    | ProgramError::TooManyValues { .. }
                    | ProgramError::GridTooLarge { .. }
                    | ProgramError::Memory(_)
            ) | Self::Gpu(GpuError::OutOfMemory { .. })
                | Self::Memory(_)
        )
    }
}

/// What the description of the CPU path begins with.
const CPU_PATH: &str = "CPU reference path";

/// What a sentence about a result adds for how the device stored activations: nothing for 32 bits.
pub fn precision_in_words(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "",
        Precision::Mixed => ", mixed precision",
    }
}

/// What of a device's [description](Device::describe) decides results: the CPU path computes the same with any number of
/// threads.
pub fn without_threads(description: &str) -> &str {
    match description.starts_with(CPU_PATH) {
        true => CPU_PATH,
        false => description,
    }
}

/// How a device is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Opening {
    /// Whether the runtime checks every index and loop of the shaders.
    pub checked: bool,
    /// How much is measured to choose the forms of kernels.
    pub tune: Tune,
    /// How numbers are stored.
    pub precision: Precision,
}

impl Device {
    /// Opens what `choice` means.
    ///
    /// # Errors
    /// Also if it has no f16 and [`Precision::Mixed`] is wanted; the CPU path has none.
    pub fn open(choice: &AdapterChoice, opening: Opening) -> Result<Self, GpuError> {
        let Opening { checked, tune, precision } = opening;
        let checks = if checked { Checks::Full } else { Checks::Trusted };
        let options = Options { checks, forms: Forms::Measured(tune), precision };
        match adapter::choose(choice)? {
            Some(listed) => Ok(Self::Gpu(Gpu::open_as(&listed, options)?)),
            None if precision == Precision::Mixed => Err(GpuError::NoHalf { adapter: "cpu".to_string() }),
            None => Ok(Self::Cpu(cpu::Mode::Fast)),
        }
    }

    /// What tells it from other devices: the adapter with its driver. The CPU path computes the same with any number of threads.
    pub fn identity(&self) -> String {
        match self {
            Self::Cpu(_) => "CPU path".to_string(),
            Self::Gpu(gpu) => gpu.identity(),
        }
    }

    /// How it stores activations.
    pub fn precision(&self) -> Precision {
        match self {
            Self::Cpu(_) => Precision::F32,
            Self::Gpu(gpu) => gpu.precision,
        }
    }

    /// What memory plans must keep to.
    pub fn memory_limits(&self) -> MemoryLimits {
        match self {
            Self::Cpu(_) => MemoryLimits::NONE,
            Self::Gpu(gpu) => gpu.memory_limits(),
        }
    }

    /// Takes over the forms of kernels that a run has chosen, if it ran on this adapter and driver.
    pub fn pin(&self, choices: &KernelChoices) {
        if let Self::Gpu(gpu) = self {
            gpu.pin(choices);
        }
    }

    /// Makes it usable again after a program that did not fit.
    pub fn forget_out_of_memory(&self) {
        if let Self::Gpu(gpu) = self {
            gpu.forget_out_of_memory();
        }
    }

    /// What was made, or nothing if it was too large; then the device is usable again.
    ///
    /// # Errors
    /// All that less at a time does not help against.
    pub(crate) fn unless_too_large<T>(
        &self,
        made: Result<T, ExecutionError>,
    ) -> Result<Option<T>, ExecutionError> {
        match made {
            Err(error) if error.is_too_large() => {
                self.forget_out_of_memory();
                Ok(None)
            }
            made => made.map(Some),
        }
    }

    /// What `make` makes for `most` images at a time, or for as many as fit: it halves their number until it succeeds. The second
    /// value is that number.
    ///
    /// # Errors
    /// Of a single image that does not fit, and all that fewer images do not help against.
    pub(crate) fn fitting<T>(
        &self,
        most: usize,
        mut make: impl FnMut(usize) -> Result<T, ExecutionError>,
    ) -> Result<(T, usize), ExecutionError> {
        let mut images = most;
        loop {
            match make(images) {
                Err(error) if error.is_too_large() && images > 1 => {
                    self.forget_out_of_memory();
                    images = images.div_ceil(2);
                }
                made => return made.map(|made| (made, images)),
            }
        }
    }

    /// One line for logs and results: name, kind and driver, and the precision unless that is 32 bits.
    pub fn describe(&self) -> String {
        match self {
            Self::Cpu(_) => format!("{CPU_PATH} ({} threads)", rayon::current_num_threads()),
            Self::Gpu(gpu) => {
                let (info, precision) = (&gpu.info, precision_in_words(gpu.precision));
                let driver = format!("{} {}", info.driver, info.driver_info);
                format!("{} ({:?}, {driver}{precision})", info.name, info.backend)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Shape;

    #[test]
    fn a_description_tells_devices_and_precisions_apart_but_no_numbers_of_threads() {
        let cpu = Device::Cpu(cpu::Mode::Fast).describe();
        assert_eq!(without_threads(&cpu), without_threads("CPU reference path (999 threads)"));
        let gpu = |precision| format!("GPU (Vulkan, driver 1{})", precision_in_words(precision));
        let [f32, mixed] = [Precision::F32, Precision::Mixed].map(gpu);
        assert_eq!(f32, "GPU (Vulkan, driver 1)");
        assert_ne!(without_threads(&f32), without_threads(&mixed));
    }

    fn too_large(images: usize) -> ExecutionError {
        ProgramError::TooManyValues { label: "images".to_string(), shape: Shape::new(&[images]) }.into()
    }

    #[test]
    fn as_many_images_are_taken_at_a_time_as_fit() {
        let device = Device::Cpu(cpu::Mode::Fast);
        // What fits, and with how many images it is tried.
        for (fits, tried) in [(100, &[100][..]), (40, &[100, 50, 25]), (1, &[100, 50, 25, 13, 7, 4, 2, 1])] {
            let mut asked = Vec::new();
            let make = |images: usize| {
                asked.push(images);
                if images <= fits { Ok("made") } else { Err(too_large(images)) }
            };
            let (made, images) = device.fitting(100, make).unwrap();
            assert_eq!((made, images), ("made", *tried.last().unwrap()));
            assert_eq!(asked, tried);
        }
        let none_fits = device.fitting(100, |images| Err::<(), _>(too_large(images)));
        let error = none_fits.unwrap_err().to_string();
        assert!(error.contains("of shape [1] "), "a single image was tried last: {error}");
        let interrupted = device.fitting(100, |images| match images {
            100 => Err::<(), _>(ExecutionError::Interrupted),
            _ => panic!("fewer images do not help"),
        });
        assert!(matches!(interrupted, Err(ExecutionError::Interrupted)));
    }
}
