//! Memory that a kernel takes for itself while it computes; a refusal becomes an error of the session.

use crate::memory::OutOfMemory;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

thread_local! {
    static OWN: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with one of the thread's own vectors, so that it is not allocated anew. Within `work`, and in another task that
/// the thread takes up meanwhile, the next one is given.
pub fn with_scratch(work: impl FnOnce(&mut Vec<f32>)) {
    let mut own = OWN.with_borrow_mut(Vec::pop).unwrap_or_default();
    work(&mut own);
    OWN.with_borrow_mut(|all| all.push(own));
}

/// Runs `work`, in which [`scratch`] may find no memory.
pub fn refusable(work: impl FnOnce()) -> Result<(), OutOfMemory> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|reason| match reason.downcast::<OutOfMemory>() {
        Ok(refused) => *refused,
        Err(panic) => resume_unwind(panic),
    })
}

/// The first `len` of `values`, which become as many if they are fewer, for a kernel on any thread. They hold what was left in
/// them: clearing them took a twentieth of an attack. A refusal unwinds to the session, silently, and becomes an error.
pub fn scratch(values: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if values.capacity() < len && values.try_reserve_exact(len - values.len()).is_err() {
        resume_unwind(Box::new(OutOfMemory { bytes: (size_of::<f32>() * len) as u64 }));
    }
    if values.len() < len {
        values.resize(len, 0.0);
    }
    &mut values[..len]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    #[test]
    fn scratch_that_is_refused_on_any_thread_is_an_error_and_other_panics_stay() {
        let of = |len: usize| assert_eq!(scratch(&mut Vec::new(), len).len(), len);
        assert_eq!(refusable(|| of(8)), Ok(()));
        let refused = refusable(|| (0..64).into_par_iter().for_each(|_| of(1 << 60)));
        assert_eq!(refused, Err(OutOfMemory { bytes: 1 << 62 }));
        let other = catch_unwind(|| refusable(|| resume_unwind(Box::new("other"))));
        assert_eq!(*other.unwrap_err().downcast::<&str>().unwrap(), "other");
    }
}
