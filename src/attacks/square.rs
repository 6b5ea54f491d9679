//! The Square attack (Andriushchenko et al. 2020): a random search that sees nothing but logits. Windows of the image are
//! changed at random; a change is kept if the margin `z_y − max z_i` of the other classes falls.
//!
//! Written from the paper and checked against its public code (fra31/auto-attack, a392200). There all images of a batch
//! share the windows; here every image has its own, so that nothing depends on the batch. The search runs on the host, the
//! device classifies the candidates. Only images that still stand are classified. The CPU path computes only what the windows
//! change: in images of 32 x 32 pixels, four of five queries have windows with a side of 3 to 5.

use super::driver::{self, Arrival, SlotAttack, Slots};
use super::objective::Objective;
use super::options::{AttackOptions, Norm};
use super::registry::{Attack, Goal, Run};
use super::target::{LABELS, Target};
use crate::executor::{ExecutionError, Patch, Session};
use crate::graph::{Graph, GraphError};
use crate::memory;
use crate::nn::Classifier;
use patterns::{Candidates, Draws, Window};
use rayon::prelude::*;

mod patterns;

type Result<T> = std::result::Result<T, ExecutionError>;

/// Its description.
pub static SQUARE: Attack = Attack {
    name: "square",
    title: "Square",
    about: "Random search with squares, which needs logits alone (AutoAttack's fourth)",
    goal: Goal::Ball,
    norms: &Norm::ALL,
    usual: &[],
    options: &["epsilon", "norm", "queries", "restarts", "seed"],
    classes: 2,
    aims: None,
    defaults: |_| {},
    // A forward pass is half of a pair.
    passes: |options, _| ((options.queries + 1) * options.restarts) as f64 / 2.0,
    remedy: |options| {
        format!("raise `queries`, now {}, or `restarts`, now {}", options.queries, options.restarts)
    },
    run: Run::Slots { prepare: |target, options| Ok(Box::new(Square::new(target, options)?)), multiple: 1 },
};

/// Queries between two looks at who is done.
const CHUNK: usize = 50;

/// Input: the candidates, `[n, height, width, channels]`.
const CANDIDATES: &str = "candidates";
/// Input: their classes, `[n, 1]`.
const CLASSES: &str = "classes";
/// Output: their margins, `[n, 1]`.
const MARGINS: &str = "margins";

/// The search for one image.
struct Search {
    /// Its place in the set; random numbers follow it.
    place: usize,
    label: f32,
    original: Vec<f32>,
    best: Vec<f32>,
    /// That of the best.
    margin: f32,
    round: usize,
    /// Candidates that have been judged in this round.
    query: usize,
    over: bool,
}

impl Search {
    /// The next candidate, and the windows in which it differs from the best. The start of a round differs everywhere and has none.
    fn propose(&self, candidates: &Candidates, seed: u64, out: &mut [f32]) -> Vec<Window> {
        let mut draws = Draws::new(seed, self.round, self.place, self.query);
        match self.query.checked_sub(1) {
            None => {
                candidates.start(&self.original, &mut draws, out);
                Vec::new()
            }
            Some(iteration) => candidates.next(iteration, (&self.original, &self.best), &mut draws, out),
        }
    }

    /// Takes the candidate if its margin is smaller, and ends the round or the search when its queries are used up. Returns whether
    /// the candidate was taken.
    fn judge(&mut self, candidate: &[f32], margin: f32, (queries, rounds): (usize, usize)) -> bool {
        let taken = self.query == 0 || margin < self.margin || margin <= 0.0;
        if taken {
            self.best.copy_from_slice(candidate);
            // A margin that is no number is larger than every other.
            self.margin = margin.min(f32::INFINITY);
        }
        self.query += 1;
        if self.margin <= 0.0 {
            self.over = true;
        } else if self.query > queries {
            (self.round, self.query) = (self.round + 1, 0);
            self.over = self.round == rounds;
        }
        taken
    }
}

/// The forward pass over some images.
struct Judge {
    session: Session,
    images: usize,
    candidates: Vec<f32>,
    classes: Vec<f32>,
    /// For which side of windows the session was asked to follow the candidates, and whether it does.
    followed: Option<(usize, bool)>,
    /// The session holds the results of these images' best candidates. They are named by their places in the set.
    known: Vec<usize>,
}

impl Judge {
    fn new(target: &mut Target, images: usize) -> Result<Self> {
        let session = target.prepare(&margin_graph(target, images)?)?;
        let (candidates, classes) = (memory::zeros(images * target.pixels())?, memory::zeros(images)?);
        Ok(Self { session, images, candidates, classes, followed: None, known: Vec::new() })
    }

    /// The margins of the candidates, which differ from the best ones in these windows. Also whether the session kept them, so that it
    /// has to [take back](Session::take_back) those that the search does not take.
    fn margins(
        &mut self,
        candidates: &Candidates,
        standing: &[&mut Search],
        windows: &[Vec<Window>],
    ) -> Result<(Vec<f32>, bool)> {
        let kept = self.follow(candidates, standing)?;
        self.session.write(CANDIDATES, &self.candidates)?;
        self.session.write(CLASSES, &self.classes)?;
        let outputs = match kept {
            true => {
                // Known again when nothing has gone wrong.
                let known = std::mem::take(&mut self.known);
                let outputs = self.session.compute_patches(&patches(windows))?;
                self.known = known;
                outputs
            }
            false => {
                self.known.clear();
                self.session.compute()?
            }
        };
        Ok((outputs.get(MARGINS).to_vec(), kept))
    }

    /// Gives the memory of kept results back.
    fn forget(&mut self) {
        self.session.stop_following();
        (self.followed, self.known) = (None, Vec::new());
    }

    /// Prepares a run with patches: the session follows the candidates and holds the results of the best ones. Returns false if whole
    /// images must be computed.
    fn follow(&mut self, candidates: &Candidates, standing: &[&mut Search]) -> Result<bool> {
        let side =
            |search: &&mut Search| search.query.checked_sub(1).map(|iteration| candidates.side(iteration));
        // An image at its start changes everywhere.
        let Some(sides) = standing.iter().map(side).collect::<Option<Vec<usize>>>() else { return Ok(false) };
        let largest = sides.into_iter().max().unwrap_or(0);
        if self.followed.is_none_or(|(side, _)| side != largest) {
            let follows = self.session.follow(CANDIDATES, [largest; 2], candidates.windows());
            self.followed = Some((largest, follows));
            self.known.clear();
        }
        if !self.followed.is_some_and(|(_, follows)| follows) {
            return Ok(false);
        }
        if !standing.iter().map(|search| search.place).eq(self.known.iter().copied()) {
            self.compute_best(standing)?;
        }
        Ok(true)
    }

    /// Computes the results of the best candidates.
    fn compute_best(&mut self, standing: &[&mut Search]) -> Result<()> {
        let mut best = memory::copy(&self.candidates)?;
        let pixels = best.len() / self.images;
        best.chunks_mut(pixels).zip(standing).for_each(|(row, search)| row.copy_from_slice(&search.best));
        self.session.write(CANDIDATES, &best)?;
        self.session.write(CLASSES, &self.classes)?;
        self.session.compute()?;
        self.known = standing.iter().map(|search| search.place).collect();
        Ok(())
    }
}

/// The windows of all images.
fn patches(windows: &[Vec<Window>]) -> Vec<Patch> {
    let all = windows.iter().enumerate().flat_map(|(image, own)| own.iter().map(move |own| (image, own)));
    all.map(|(image, window)| Patch { image, row: window.row, column: window.column }).collect()
}

/// The attack over slots.
pub struct Square {
    candidates: Candidates,
    seed: u64,
    queries: usize,
    rounds: usize,
    /// Over all slots.
    full: Judge,
    /// Over fewer, when fewer images are left.
    fewer: Option<Judge>,
    /// Whether there was always room for it.
    fits: bool,
    slots: Vec<Option<Search>>,
    /// Whether the classes of some images have yet to be read.
    fresh: bool,
}

impl Square {
    /// Prepares it.
    pub fn new(target: &mut Target, options: &AttackOptions) -> Result<Self> {
        Ok(Self {
            candidates: Candidates::new(target.problem(), options.norm, options.epsilon),
            seed: options.seed,
            queries: options.queries,
            rounds: options.restarts,
            full: Judge::new(target, target.slots)?,
            fewer: None,
            fits: true,
            slots: (0..target.slots).map(|_| None).collect(),
            fresh: false,
        })
    }

    /// Classifies one more candidate of every image that stands. Whether some image is done.
    fn query(&mut self, target: &mut Target) -> Result<bool> {
        let limits = (self.queries, self.rounds);
        let (seed, pixels) = (self.seed, target.pixels());
        let mut standing: Vec<&mut Search> =
            self.slots.iter_mut().flatten().filter(|search| !search.over).collect();
        if standing.is_empty() {
            return Ok(true);
        }
        let judge =
            smallest_judge(target, (&mut self.full, &mut self.fewer), standing.len(), &mut self.fits)?;
        let rows = judge.candidates.par_chunks_mut(pixels).zip(&standing);
        let windows = rows.map(|(row, search)| search.propose(&self.candidates, seed, row));
        let windows: Vec<Vec<Window>> = windows.collect();
        judge.classes.iter_mut().zip(&standing).for_each(|(class, search)| *class = search.label);
        let (margins, kept) = judge.margins(&self.candidates, &standing, &windows)?;
        let judged = judge.candidates.chunks(pixels).zip(margins);
        let judged = standing.iter_mut().zip(judged);
        let taken = judged.map(|(search, (candidate, margin))| search.judge(candidate, margin, limits));
        let taken: Vec<bool> = taken.collect();
        if kept {
            judge.session.take_back(|image| !taken[image]);
        }
        if standing.iter().all(|search| search.over) {
            judge.forget();
        }
        Ok(standing.iter().any(|search| search.over))
    }
}

/// A program for all images, or one for fewer if a quarter of the slots would be empty and both fit into memory.
fn smallest_judge<'a>(
    target: &mut Target,
    (full, fewer): (&'a mut Judge, &'a mut Option<Judge>),
    images: usize,
    fits: &mut bool,
) -> Result<&'a mut Judge> {
    let size = fewer.as_ref().map_or(full.images, |judge| judge.images);
    if images > size {
        *fewer = None;
    } else if *fits && driver::leaves_too_many_empty(size, images) {
        full.forget();
        let judge = Judge::new(target, images);
        match target.workspace.device().unless_too_large(judge)? {
            Some(judge) => *fewer = Some(judge),
            None => *fits = false,
        }
    }
    Ok(fewer.as_mut().unwrap_or(full))
}

/// The margin of each candidate: the logit of its class minus the largest other.
fn margin_graph(target: &Target, images: usize) -> std::result::Result<Graph, GraphError> {
    let mut graph = Graph::new();
    let states = target.network(&mut graph)?;
    let candidates = graph.input(CANDIDATES, &target.problem().batch(images))?;
    let classes = graph.input(CLASSES, &[images, 1])?;
    let logits = Classifier::evaluated(&target.net, &states).logits(&mut graph, candidates)?;
    let lead = Objective::Margin.value(&mut graph, logits, classes, classes)?;
    let margins = graph.affine(lead, -1.0, 0.0);
    graph.output(MARGINS, margins);
    Ok(graph)
}

impl SlotAttack for Square {
    fn load(&mut self, _: &mut Target, slot: usize, arrival: Arrival) -> Result<()> {
        self.slots[slot] = Some(Search {
            place: arrival.place,
            label: f32::NAN,
            original: memory::copy(arrival.image)?,
            best: memory::copy(arrival.image)?,
            margin: f32::INFINITY,
            round: 0,
            query: 0,
            over: false,
        });
        self.fresh = true;
        // The weights may have changed since the last images.
        self.full.known.clear();
        self.fewer.iter_mut().for_each(|judge| judge.known.clear());
        Ok(())
    }

    fn advance(&mut self, target: &mut Target, iterations: usize) -> Result<()> {
        if std::mem::take(&mut self.fresh) {
            let labels = target.workspace.read(LABELS)?;
            for (search, label) in self.slots.iter_mut().zip(labels) {
                for search in search.iter_mut() {
                    search.label = label;
                }
            }
        }
        for _ in 0..iterations {
            // Another image may get the slot.
            if self.query(target)? {
                break;
            }
        }
        Ok(())
    }

    fn finished(&self, slot: usize) -> bool {
        self.slots[slot].as_ref().is_none_or(|search| search.over)
    }

    fn results(&mut self, target: &mut Target) -> Result<Vec<f32>> {
        let pixels = target.pixels();
        let mut all = memory::zeros(self.slots.len() * pixels)?;
        for (out, search) in all.chunks_mut(pixels).zip(&self.slots) {
            if let Some(search) = search {
                out.copy_from_slice(&search.best);
            }
        }
        Ok(all)
    }

    fn sessions(&self) -> Vec<&Session> {
        std::iter::once(&self.full).chain(&self.fewer).map(|judge| &judge.session).collect()
    }

    fn chunk(&self) -> usize {
        CHUNK
    }

    /// It classifies no more images than stand anyway.
    fn narrowed(&self, _: &Target, _: &[usize]) -> Result<Option<Slots>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
