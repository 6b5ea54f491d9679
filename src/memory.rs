//! Memory that may be refused: where a vector is large, a refusal is an error and not the end of the process.

use bytemuck::Zeroable;

/// The system gave no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no memory for {:.1} MiB; free some or raise the limit (`ulimit -v`), or use a smaller batch or width",
    *bytes as f64 / 1_048_576.0
)]
pub struct OutOfMemory {
    /// Bytes that were asked for.
    pub bytes: u64,
}

/// `len` zeros.
pub fn zeros<T: Zeroable>(len: usize) -> Result<Vec<T>, OutOfMemory> {
    bytemuck::allocation::try_zeroed_vec(len).map_err(|()| refused::<T>(len))
}

/// A copy of `values`.
pub fn copy<T: Copy>(values: &[T]) -> Result<Vec<T>, OutOfMemory> {
    let mut copy = with_room(values.len())?;
    copy.extend_from_slice(values);
    Ok(copy)
}

/// An empty vector with room for `len` values.
pub fn with_room<T>(len: usize) -> Result<Vec<T>, OutOfMemory> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).map_err(|_| refused::<T>(len))?;
    Ok(values)
}

/// Refuses what the machine cannot hold. Linux gives addresses without memory behind them, and ends the process when they are
/// used.
pub fn check_machine(bytes: u64) -> Result<(), OutOfMemory> {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    match free_of(&text) {
        Some(free) if bytes > free => Err(OutOfMemory { bytes }),
        _ => Ok(()),
    }
}

/// Bytes that can be taken, by the text of Linux's `/proc/meminfo`: memory, and room to swap.
fn free_of(meminfo: &str) -> Option<u64> {
    let kibibytes = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some((kibibytes("MemAvailable")? + kibibytes("SwapFree").unwrap_or(0)).saturating_mul(1024))
}

fn refused<T>(len: usize) -> OutOfMemory {
    OutOfMemory { bytes: (len as u64).saturating_mul(size_of::<T>() as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than any address space holds.
    const TOO_MANY: usize = isize::MAX as usize / 4;

    #[test]
    fn what_is_free_is_memory_and_room_to_swap() {
        let text =
            "MemTotal:       24684096 kB\nMemAvailable:   2000 kB\nSwapTotal: 9 kB\nSwapFree:  48 kB\n";
        assert_eq!(free_of(text), Some(2048 * 1024));
        assert_eq!(free_of("MemTotal: 3 kB\n"), None);
        assert_eq!(check_machine(1), Ok(()));
        assert_eq!(check_machine(u64::MAX).is_err(), cfg!(target_os = "linux"));
    }

    #[test]
    fn what_no_machine_has_is_an_error() {
        assert_eq!(zeros::<f32>(2), Ok(vec![0.0, 0.0]));
        assert_eq!(copy(&[1.0, 2.0]), Ok(vec![1.0, 2.0]));
        assert!(zeros::<f32>(TOO_MANY).is_err());
        assert!(with_room::<f64>(TOO_MANY).is_err());
        let error = with_room::<f32>(1 << 60).unwrap_err();
        assert_eq!(error.bytes, 1 << 62);
        assert!(error.to_string().contains("no memory for 4398046511104.0 MiB"), "{error}");
    }
}
