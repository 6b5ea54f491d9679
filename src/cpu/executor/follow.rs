//! Runs that compute only what patches of the images change (see `patches`).
//!
//! A session that *follows* an input keeps the results of all calls. [`CpuSession::run`] computes all of them. A run with patches
//! writes rectangles into them and remembers what stood there. [`CpuSession::take_back`] brings that back for some images.

use super::CpuSession;
use super::patches::{self, Cut, Patch, Work};
use crate::cpu::Mode;
use crate::cpu::scratch::refusable;
use crate::memory::{self, OutOfMemory};
use crate::program::{Call, RootKind, TensorId};

/// What a session that follows an input keeps beside the results.
pub struct Followed {
    works: Vec<Work>,
    /// The patches of the last run, ordered by image.
    patches: Vec<Patch>,
    /// What the rectangles of each call replaced, in the order of the patches.
    replaced: Vec<Vec<f32>>,
}

impl Followed {
    /// A whole run follows, so nothing can be taken back.
    pub fn begin_anew(&mut self) {
        self.patches.clear();
    }
}

impl CpuSession {
    /// Keeps all results from now on, for images of `input` that change in `of_image` patches of `size` rows and columns. Returns false
    /// and keeps nothing if this would save little, if there is no memory for it, or on the reference path.
    pub fn follow(&mut self, input: &str, size: [usize; 2], of_image: usize) -> bool {
        self.stop_following();
        let works = match self.mode {
            Mode::Fast => patches::works(&self.program, input, size, of_image),
            Mode::Reference => None,
        };
        let Some(works) = works else { return false };
        let root = self.program.input(input);
        let images = root.and_then(|root| patches::extents(&self.program, root)).map_or(0, |[n, ..]| n);
        match self.room_for(works, images * of_image) {
            Ok(followed) => self.followed = Some(followed),
            Err(_) => self.give_kept_back(),
        }
        self.followed.is_some()
    }

    /// Takes the memory of all results at once, and of what so many patches replace. As much has to stay free: following saves
    /// time, and nothing else may fail for it.
    fn room_for(&mut self, works: Vec<Work>, patches: usize) -> Result<Followed, OutOfMemory> {
        let replaced = |work: &Work| match work {
            Work::Cut(cut) => patches * cut.len(),
            Work::Nothing | Work::Whole => 0,
        };
        let computed = self.program.roots.iter().filter(|root| root.kind == RootKind::Computed);
        let kept = computed.map(|root| root.len).sum::<usize>() + works.iter().map(replaced).sum::<usize>();
        let bytes = size_of::<f32>() * kept;
        memory::check_machine(2 * bytes as u64)?;
        (0..self.program.calls.len()).try_for_each(|call| self.allocate(call))?;
        let replaced = works.iter().map(|work| memory::zeros(replaced(work))).collect::<Result<_, _>>()?;
        self.check_room()?;
        memory::with_room::<u8>(bytes)?;
        Ok(Followed { works, patches: Vec::new(), replaced })
    }

    /// Stops following and gives the memory of the kept results back.
    pub fn stop_following(&mut self) {
        if self.followed.take().is_some() {
            self.give_kept_back();
        }
    }

    /// Leaves the session with the memory of a run, as it was bound. What the system refuses now, the next run asks for.
    fn give_kept_back(&mut self) {
        self.give_all_back();
        self.pool.clear();
        if self.fill_pool().is_err() {
            self.give_all_back();
        }
    }

    /// As [`CpuSession::run`], on images that differ from those of the last run in these patches only. Each image has as many as
    /// [`CpuSession::follow`] was told, or none.
    pub fn run_patches(&mut self, patches: &[Patch]) -> Result<Vec<Vec<f32>>, OutOfMemory> {
        rayon::scope(|_| {
            let Some(mut followed) = self.followed.take() else { return self.run_here() };
            followed.patches.clear();
            followed.patches.extend_from_slice(patches);
            self.begin();
            let outputs = self.compute_patches(&mut followed);
            self.followed = Some(followed);
            self.end();
            outputs
        })
    }

    fn compute_patches(&mut self, followed: &mut Followed) -> Result<Vec<Vec<f32>>, OutOfMemory> {
        let program = self.program.clone();
        let Followed { works, patches, replaced } = followed;
        for (call, (work, replaced)) in program.calls.iter().zip(works.iter().zip(replaced)) {
            match work {
                Work::Nothing => {}
                Work::Cut(cut) => self.cut(call, cut, patches, replaced)?,
                Work::Whole => self.execute(call)?,
            }
        }
        program.outputs.iter().map(|(_, id)| self.read(*id)).collect()
    }

    /// Computes rectangles of a call and swaps them with the known results.
    fn cut(
        &mut self,
        call: &Call,
        cut: &Cut,
        patches: &[Patch],
        replaced: &mut [f32],
    ) -> Result<(), OutOfMemory> {
        let values = |id: &TensorId| {
            let tensor = self.program.tensor(*id);
            &self.memory[tensor.root][tensor.offset..][..tensor.shape.len()]
        };
        let reads: Vec<&[f32]> = call.reads.iter().map(values).collect();
        let rectangles = cut.rectangles(patches);
        let own = &mut replaced[..rectangles.len() * cut.len()];
        refusable(|| cut.compute(&rectangles, &reads, own))?;
        let result = &mut self.memory[self.program.tensor(call.writes[0]).root];
        for (rectangle, own) in rectangles.iter().zip(own.chunks_exact_mut(cut.len())) {
            cut.exchange(rectangle, result, own);
        }
        Ok(())
    }

    /// Brings back the results that some images, counted over the batch, had before the last run with patches.
    pub fn take_back(&mut self, takes_back: impl Fn(usize) -> bool) {
        let Some(followed) = &mut self.followed else { return };
        for (call, (work, replaced)) in
            self.program.calls.iter().zip(followed.works.iter().zip(&mut followed.replaced))
        {
            let Work::Cut(cut) = work else { continue };
            let result = &mut self.memory[self.program.tensor(call.writes[0]).root];
            let rectangles = cut.rectangles(&followed.patches);
            // Where rectangles of an image meet, the last one has replaced what the first one brought.
            for (rectangle, own) in rectangles.iter().zip(replaced.chunks_exact_mut(cut.len())).rev() {
                if takes_back(rectangle.image) {
                    cut.exchange(rectangle, result, own);
                }
            }
        }
        followed.patches.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Convolution, Graph};
    use crate::program::{MemoryLimits, Program};
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_session_that_has_stopped_following_has_the_memory_that_it_was_bound_with() {
        let mut graph = Graph::new();
        let mut x = graph.input("images", &[1, 64, 64, 4]).unwrap();
        let weight = graph.state("weight", &[3, 3, 4, 4]).unwrap();
        for _ in 0..6 {
            x = graph.convolve(Convolution::same(3, 1), x, weight).unwrap();
        }
        graph.output("x", x);
        let program = Arc::new(Program::compile(&graph, MemoryLimits::NONE).unwrap());
        let state = |_: &str, len| Arc::new(Mutex::new(vec![0.0; len]));
        let mut session = CpuSession::new(program, Mode::Fast, state).unwrap();
        let held = |session: &CpuSession| -> usize {
            let kept: usize = session.memory.iter().map(Vec::len).sum();
            kept + session.pool.values().flatten().map(Vec::len).sum::<usize>()
        };
        let before = held(&session);
        assert!(session.follow("images", [3, 3], 1));
        session.run().unwrap();
        assert!(held(&session) >= before + 3 * 64 * 64 * 4, "all results are kept");
        session.stop_following();
        assert_eq!(held(&session), before);
        session.run().unwrap();
        assert_eq!(held(&session), before);
    }
}
