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
    /// Of the last run, those of an image one behind the other.
    patches: Vec<Patch>,
    /// What the rectangles of each call replaced, in the order of the patches.
    replaced: Vec<Vec<f32>>,
}

impl Followed {
    /// Forgets what the last run replaced: all results are computed.
    pub fn begin_anew(&mut self) {
        self.patches.clear();
    }
}

impl CpuSession {
    /// Keeps all results from now on, for images of `input` that change in `of_image` patches of `size` rows and columns. Returns
    /// whether it does: not if it would save little, not without memory for it, and not on the reference path.
    pub fn follow(&mut self, input: &str, size: [usize; 2], of_image: usize) -> bool {
        self.stop_following();
        let works = match self.mode {
            Mode::Fast => patches::works(&self.program, input, size, of_image),
            Mode::Reference => None,
        };
        let Some(works) = works else { return false };
        let images = self.program.input(input).map_or(0, |root| self.images(root));
        match self.room_for(works, images * of_image) {
            Ok(followed) => self.followed = Some(followed),
            Err(_) => self.give_all_back(),
        }
        self.followed.is_some()
    }

    /// Images of an input.
    fn images(&self, root: usize) -> usize {
        let mut shapes = self.program.tensors.iter().filter(|tensor| tensor.root == root);
        shapes.find_map(|tensor| tensor.shape.image()).map_or(0, |[images, ..]| images)
    }

    /// Takes the memory of all results at once, and of what so many patches replace.
    fn room_for(&mut self, works: Vec<Work>, patches: usize) -> Result<Followed, OutOfMemory> {
        let bytes = |len: usize| (size_of::<f32>() * len) as u64;
        let computed = self.program.roots.iter().filter(|root| root.kind == RootKind::Computed);
        memory::check_machine(bytes(computed.map(|root| root.len).sum()))?;
        (0..self.program.calls.len()).try_for_each(|call| self.allocate(call))?;
        let replaced = works.iter().map(|work| match work {
            Work::Cut(cut) => memory::zeros(patches * cut.len()),
            Work::Nothing | Work::Whole => Ok(Vec::new()),
        });
        let replaced = replaced.collect::<Result<_, _>>()?;
        Ok(Followed { works, patches: Vec::new(), replaced })
    }

    /// Keeps nothing any more.
    pub fn stop_following(&mut self) {
        if self.followed.take().is_some() {
            self.give_all_back();
            // Kept results took more than a run needs, which takes what it lacks at its first call.
            self.pool.clear();
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

    /// Computes rectangles of a call and lets them change places with what is known there.
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
        let rectangles = cut.around(patches);
        let own = &mut replaced[..rectangles.len() * cut.len()];
        refusable(|| cut.compute(&rectangles, &reads, own))?;
        let result = &mut self.memory[self.program.tensor(call.writes[0]).root];
        for (rectangle, own) in rectangles.iter().zip(own.chunks_exact_mut(cut.len())) {
            cut.exchange(rectangle, result, own);
        }
        Ok(())
    }

    /// Brings back the results that some images, counted over the batch, had before the last run with patches.
    pub fn take_back(&mut self, is_taken: impl Fn(usize) -> bool) {
        let Some(followed) = &mut self.followed else { return };
        for (call, (work, replaced)) in
            self.program.calls.iter().zip(followed.works.iter().zip(&mut followed.replaced))
        {
            let Work::Cut(cut) = work else { continue };
            let result = &mut self.memory[self.program.tensor(call.writes[0]).root];
            let rectangles = cut.around(&followed.patches);
            // Where rectangles of an image meet, the last one has replaced what the first one brought.
            for (rectangle, own) in rectangles.iter().zip(replaced.chunks_exact_mut(cut.len())).rev() {
                if is_taken(rectangle.image) {
                    cut.exchange(rectangle, result, own);
                }
            }
        }
        followed.patches.clear();
    }
}
