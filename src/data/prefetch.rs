//! A thread that prepares batches ahead of the device, and a clock that says how long the device waited
//! for it all the same.

use super::batches::{Batch, BatchOptions, batches_per_epoch, epoch_order, fill_batch};
use super::{DataError, Images};
use crate::memory;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Batches that may lie ready.
const DEPTH: usize = 3;

/// Which batch is next: `index` in `epoch`, both counted from 0. An index behind the epoch's last batch
/// means the start of the next epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Epoch.
    pub epoch: u32,
    /// Batch in the epoch.
    pub index: u32,
}

/// How long the consumer stood waiting for batches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waited {
    /// Until the first batch, which nobody could have prepared earlier.
    pub first: Duration,
    /// For all later batches together: near zero if the thread keeps up.
    pub later: Duration,
    /// Batches taken so far.
    pub batches: u64,
}

/// The batches of a training run in order, from a thread that works ahead. Dropping it stops the thread.
///
/// The batches are those of [`make_batch`](super::make_batch), whatever the position it starts from.
#[derive(Debug)]
pub struct Prefetcher {
    /// `None` once the thread is being stopped.
    batches: Option<Receiver<Batch>>,
    thread: Option<JoinHandle<()>>,
    waited: Waited,
}

impl Prefetcher {
    /// Starts preparing the batches from `from` to the end of epoch `epochs - 1`.
    pub fn start(
        images: Arc<Images>,
        options: BatchOptions,
        from: Position,
        epochs: u32,
    ) -> Result<Self, DataError> {
        if options.batch_size == 0 || images.is_empty() {
            return Err(DataError::BatchSize { size: options.batch_size, images: images.len() });
        }
        // Those that lie ready, the one under preparation and the one in use.
        let room = memory::with_room::<f32>((DEPTH + 2) * options.batch_size * images.image_len());
        room.map_err(|refused| DataError::Memory { refused })?;
        let (sender, batches) = sync_channel(DEPTH);
        let thread = thread::Builder::new()
            .name("batches".to_owned())
            .spawn(move || prepare(&images, &options, from, epochs, &sender))
            .map_err(|source| DataError::Thread { source })?;
        Ok(Self { batches: Some(batches), thread: Some(thread), waited: Waited::default() })
    }

    /// How long `next` has waited so far.
    pub fn waited(&self) -> Waited {
        self.waited
    }
}

fn prepare(images: &Images, options: &BatchOptions, from: Position, epochs: u32, sender: &SyncSender<Batch>) {
    let count = batches_per_epoch(images.len(), options.batch_size);
    for epoch in from.epoch..epochs {
        let order = epoch_order(images.len(), options, epoch);
        let first = if epoch == from.epoch { from.index } else { 0 };
        for index in first..count {
            if sender.send(fill_batch(images, options, &order, epoch, index)).is_err() {
                return; // The consumer is gone.
            }
        }
    }
}

impl Iterator for Prefetcher {
    type Item = Batch;

    /// The next batch, or `None` after the last epoch.
    fn next(&mut self) -> Option<Batch> {
        let start = Instant::now();
        let batch = self.batches.as_ref()?.recv().ok();
        if batch.is_some() {
            let lost = if self.waited.batches == 0 { &mut self.waited.first } else { &mut self.waited.later };
            *lost += start.elapsed();
            self.waited.batches += 1;
        } else if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            // An end that is none must not pass for the last epoch's.
            std::panic::resume_unwind(panic);
        }
        batch
    }
}

impl Drop for Prefetcher {
    fn drop(&mut self) {
        // Without a receiver the thread's next send fails, which ends it.
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Augment, make_batch};
    use super::*;

    const OPTIONS: BatchOptions =
        BatchOptions { batch_size: 4, shuffle: true, augment: Augment::Crop, seed: 1 };

    fn ten() -> Arc<Images> {
        Arc::new(Images::new(
            super::super::Size::square(8),
            1,
            (0..640u32).map(|i| i as u8).collect(),
            (0..10).collect(),
        ))
    }

    fn start(from: Position, epochs: u32) -> Prefetcher {
        Prefetcher::start(ten(), OPTIONS, from, epochs).expect("started")
    }

    #[test]
    fn the_thread_gives_the_batches_of_make_batch_in_order_to_the_end() {
        let batches: Vec<Batch> = start(Position::default(), 2).collect();
        assert_eq!(batches.len(), 6);
        for (i, batch) in (0..).zip(&batches) {
            assert_eq!(*batch, make_batch(&ten(), &OPTIONS, i / 3, i % 3));
        }
    }

    #[test]
    fn a_resumed_run_sees_the_rest_of_the_same_batches() {
        let whole: Vec<Batch> = start(Position::default(), 3).collect();
        let rest: Vec<Batch> = start(Position { epoch: 1, index: 2 }, 3).collect();
        assert_eq!(whole[5..], rest);
        let at_a_border: Vec<Batch> = start(Position { epoch: 0, index: 3 }, 3).collect();
        assert_eq!(whole[3..], at_a_border);
        assert_eq!(start(Position { epoch: 3, index: 0 }, 3).count(), 0);
    }

    #[test]
    fn dropping_it_early_stops_the_thread() {
        let mut batches = start(Position::default(), u32::MAX);
        assert!(batches.next().is_some());
        drop(batches); // Joins the thread: the test would hang otherwise.
    }

    #[test]
    fn batches_are_made_while_the_consumer_is_busy_elsewhere() {
        let prefetcher = start(Position::default(), 2);
        let ready = prefetcher.batches.as_ref().expect("not stopped");
        let deadline = Instant::now() + Duration::from_secs(60);
        // Nobody waits for a batch here, and yet they come.
        for i in 0..6 {
            let batch = loop {
                if let Ok(batch) = ready.try_recv() {
                    break batch;
                }
                assert!(Instant::now() < deadline, "batch {i} is made only when it is asked for");
                thread::sleep(Duration::from_millis(1));
            };
            assert_eq!(batch, make_batch(&ten(), &OPTIONS, i / 3, i % 3));
        }
    }

    #[test]
    fn it_counts_what_was_taken_and_how_long_that_took() {
        let mut batches = start(Position::default(), 1);
        while batches.next().is_some() {}
        let waited = batches.waited();
        assert_eq!(waited.batches, 3);
        assert!(waited.first + waited.later < Duration::from_secs(60));
    }

    #[test]
    fn batches_of_nothing_are_refused() {
        let none = Arc::new(Images::new(super::super::Size::square(8), 1, vec![], vec![]));
        let text = Prefetcher::start(none, OPTIONS, Position::default(), 1).err().map(|e| e.to_string());
        assert!(text.is_some_and(|text| text.contains("from 0 images")));
        let zero = BatchOptions { batch_size: 0, ..OPTIONS };
        assert!(Prefetcher::start(ten(), zero, Position::default(), 1).is_err());
    }
}
