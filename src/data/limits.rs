//! How much memory data may take. Headers and packed files can announce any size; these bounds are checked before
//! memory is used.

use std::sync::{Condvar, Mutex, PoisonError};

/// Bytes of a whole data set's pixels. A data set stays in memory, so this is about what the program takes for it.
pub(super) const MOST_SET: u64 = 4 << 30;

/// Bytes that a packed file may unpack to, however small it is. Larger ones may unpack to [`MOST_RATIO`] times their size.
const MOST_UNPACKED: u64 = 256 << 20;

/// Images and labels shrink to a fifth, rarely to a tenth. A file that shrinks to less than this holds hardly anything.
const MOST_RATIO: u64 = 32;

/// Bytes that decoding one image may take, and all images that are decoded at the same time. It is enough for 110
/// million pixels of 8-bit colour.
pub(super) const MOST_DECODING: u64 = 320 << 20;

/// Bytes of a JPEG file, which is decoded from memory.
pub(super) const MOST_JPEG: u64 = 128 << 20;

/// Bytes that a file of `packed` bytes may unpack to.
pub(super) fn most_unpacked(packed: u64) -> u64 {
    packed.saturating_mul(MOST_RATIO).max(MOST_UNPACKED)
}

/// Memory that threads share: whoever finds too little waits until others have given theirs back.
pub(super) struct Memory {
    free: Mutex<u64>,
    given_back: Condvar,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { free: Mutex::new(MOST_DECODING), given_back: Condvar::new() }
    }

    /// Waits for `bytes`; more than there are altogether count as all.
    pub(super) fn take(&self, bytes: u64) -> Share<'_> {
        let bytes = bytes.min(MOST_DECODING);
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = self.given_back.wait_while(free, |free| *free < bytes);
        *enough.unwrap_or_else(PoisonError::into_inner) -= bytes;
        Share { memory: self, bytes }
    }
}

/// A share of a [`Memory`], given back when dropped.
pub(super) struct Share<'a> {
    memory: &'a Memory,
    bytes: u64,
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.memory.free.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.memory.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn threads_never_hold_more_than_there_is_and_all_get_their_turn() {
        let (memory, held, most) = (Memory::new(), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for i in 1..=12 {
                let (memory, held, most) = (&memory, &held, &most);
                scope.spawn(move || {
                    for part in [2, 3, 5] {
                        let bytes = MOST_DECODING / part + i;
                        let share = memory.take(bytes);
                        most.fetch_max(held.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
                        std::thread::yield_now();
                        held.fetch_sub(bytes, Ordering::SeqCst);
                        drop(share);
                    }
                });
            }
        });
        assert!(most.into_inner() <= MOST_DECODING);
        // More than everything is everything, rather than a wait without end.
        drop(memory.take(u64::MAX));
    }

    #[test]
    fn what_a_small_file_may_unpack_to_is_bounded_and_a_large_one_may_unpack_to_more() {
        assert_eq!(most_unpacked(6 << 20), 256 << 20);
        assert_eq!(most_unpacked(100 << 20), 3200 << 20);
    }
}
