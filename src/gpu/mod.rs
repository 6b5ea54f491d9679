//! The GPU path through wgpu: adapters and their choice, the device, pipelines, and the executor that
//! replays a program.

pub mod adapter;
mod ahead;
pub mod device;
pub mod half;
mod probe;
pub mod session;
pub mod tuning;

/// Errors of adapters and devices.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// No adapter fits the choice.
    #[error("{wanted}; found {found}; choose {instead} instead")]
    NoAdapter {
        /// What was asked for and not found.
        wanted: String,
        /// The adapters that exist.
        found: String,
        /// What can be chosen.
        instead: String,
    },
    /// The adapter refused to open.
    #[error("the adapter {adapter} could not be opened: {reason}; try another one from `pgn-wgpu adapters`")]
    Open {
        /// Its name.
        adapter: String,
        /// The driver's words.
        reason: String,
    },
    /// A software driver that computes wrong numbers.
    #[error(
        "the software adapter {adapter} ({driver}) stops long loops early and computes wrong numbers; \
         update Mesa to 24 or newer (Debian 12: mesa-vulkan-drivers from bookworm-backports), or choose `adapter` cpu"
    )]
    BrokenLoops {
        /// Its name.
        adapter: String,
        /// Its driver.
        driver: String,
    },
    /// 16-bit storage on an adapter that has none.
    #[error("the adapter {adapter} offers no 16-bit numbers in shaders; leave `precision` mixed out")]
    NoHalf {
        /// Its name.
        adapter: String,
    },
    /// A kernel of which every form computes wrong numbers.
    #[error(
        "every form of a kernel computes wrong numbers on {adapter} ({shape}); choose `adapter` cpu, and please report \
         this with the output of `pgn-wgpu validate --json`"
    )]
    NoRightForm {
        /// The adapter's name.
        adapter: String,
        /// Kernel and shape.
        shape: String,
    },
    /// The device has no room.
    #[error(
        "the adapter {adapter} is out of memory{}; use a smaller `batch-size` or `width`",
        needed(*bytes)
    )]
    OutOfMemory {
        /// Its name.
        adapter: String,
        /// What was asked for; 0 if that is not known.
        bytes: u64,
    },
    /// The device went away or refused a command.
    #[error("the adapter {adapter} failed: {reason}")]
    Failed {
        /// Its name.
        adapter: String,
        /// The driver's words.
        reason: String,
    },
}

/// What an adapter without room was asked for, for its sentence.
fn needed(bytes: u64) -> String {
    match bytes {
        0 => String::new(),
        _ => format!(" ({bytes} bytes were needed)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_without_room_says_what_it_was_asked_for_if_that_is_known() {
        let said = |bytes| GpuError::OutOfMemory { adapter: "A".to_string(), bytes }.to_string();
        assert!(said(1024).starts_with("the adapter A is out of memory (1024 bytes were needed); use"));
        assert!(said(0).starts_with("the adapter A is out of memory; use"));
    }
}
