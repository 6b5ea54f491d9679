//! Ends a computation from outside, for programs that go on after it: an interpreter whose user presses Ctrl-C, or a
//! service whose client has left. The commands need none of it: a signal ends their process, or sets the flag at which `train`
//! and `sweep` save and end.
//!
//! A question belongs to the thread that computes. Before each run of a program [`Session::run`](crate::executor::Session::run)
//! asks it, so a computation ends after at most one pass over a batch, with
//! [`ExecutionError::Interrupted`](crate::executor::ExecutionError::Interrupted). Another way would be a flag that every
//! attack, verdict and model is given and passes on; it would stand in all their signatures, for two users.

use std::cell::RefCell;
use std::sync::Arc;

/// Answers whether the work is to end. It is asked often, so it must be quick.
pub type Question = Arc<dyn Fn() -> bool + Send + Sync>;

thread_local! {
    static QUESTION: RefCell<Option<Question>> = const { RefCell::new(None) };
}

/// Does `work` on this thread, which asks `question` meanwhile. Within, another question may take its place.
pub fn while_asking<T>(question: Question, work: impl FnOnce() -> T) -> T {
    let _earlier = Earlier(QUESTION.replace(Some(question)));
    work()
}

/// Whether this thread has a question. Its work stays here then: an interpreter hears signals on its main thread alone.
pub(crate) fn has_question() -> bool {
    QUESTION.with_borrow(Option::is_some)
}

/// The question of before, which comes back also after a panic.
struct Earlier(Option<Question>);

impl Drop for Earlier {
    fn drop(&mut self) {
        QUESTION.set(self.0.take());
    }
}

/// Whether the work on this thread is to end.
pub fn is_asked_for() -> bool {
    // The question may compute something itself.
    let question = QUESTION.with_borrow(Clone::clone);
    question.is_some_and(|question| question())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::{AttackError, AttackKind, AttackOptions, Attacker};
    use crate::cpu::Mode;
    use crate::data::Images;
    use crate::evaluation::predict;
    use crate::executor::{Device, ExecutionError};
    use crate::models::file::Model;
    use crate::nn::{Init, Network, Plan, Problem};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn work_is_asked_for_an_end_until_it_is_done_and_no_longer() {
        assert!(!is_asked_for());
        while_asking(Arc::new(|| true), || {
            assert!(is_asked_for());
            while_asking(Arc::new(|| false), || assert!(!is_asked_for()));
            assert!(is_asked_for(), "the outer question again");
        });
        assert!(!is_asked_for());
    }

    #[test]
    fn an_attack_ends_before_its_next_run_when_it_is_asked_to() {
        let problem = Problem::square(8, 1, 10);
        let classifier = Network::default().build(Plan::new(problem, 0.0625)).unwrap();
        let values = classifier.initial(Init::He, 1);
        let model = Model::new(classifier, values);
        let digits = crate::data::open(&crate::data::DataOptions::default()).unwrap();
        let device = Device::Cpu(Mode::Fast);
        // As the model classifies them, so that all are attacked.
        let pixels = digits.test.to_unit(0..10);
        let logits = predict::logits(&device, &model, &pixels, &mut |_, _| {}).unwrap();
        let best =
            |row: &[f32]| (0..10_u16).max_by(|&a, &b| row[a as usize].total_cmp(&row[b as usize])).unwrap();
        let images = Images::of_numbers(digits.test.size(), 1, pixels, logits.chunks(10).map(best).collect());
        let run = |runs: usize| {
            let asked = Arc::new(AtomicUsize::new(0));
            let count = asked.clone();
            let question: Question = Arc::new(move || count.fetch_add(1, Ordering::SeqCst) >= runs);
            let options = AttackOptions::new(AttackKind::PGD);
            let outcome = while_asking(question, || {
                Attacker::new(&device, &model, options, images.len())?.run(&images, &mut |_, _| {})
            });
            (outcome.map(|_| ()), asked.load(Ordering::SeqCst))
        };
        let (whole, runs) = run(usize::MAX);
        assert!(whole.is_ok() && runs > 3, "{runs} runs");
        let (cut, asked) = run(2);
        assert!(matches!(cut, Err(AttackError::Execution(ExecutionError::Interrupted))), "{cut:?}");
        assert_eq!(asked, 3, "nothing is computed after the answer");
    }
}
