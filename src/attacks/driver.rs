//! Brings the images of a set to an attack and back.
//!
//! Attacks of fixed length take batch after batch. Attacks that end image by image work in *slots*: every
//! few iterations the images that are done leave, and the next ones take their slots, so that the batch stays full
//! and cost follows the images still working. When none wait any more and a quarter of the slots is empty, the rest goes on
//! in programs for fewer slots.

use super::attacker::AttackError;
use super::flow::{Flow, Leaving};
use super::options::AttackOptions;
use super::registry::Run;
use super::steps::{Replayed, Steps};
use super::target::{AIMS, FILLING, IMAGES, LABELS, STARTS, Target};
use crate::cpu::threads;
use crate::executor::{ExecutionError, Session, Workspace};
use crate::memory;
use crate::models::file::Model;
use crate::nn::Net;

/// Iterations between two looks at the device.
pub const READ_BACK_INTERVAL: usize = 10;

/// The smallest divisor of `iterations` from [`READ_BACK_INTERVAL`] on: how many run between two looks.
pub fn chunk_of(iterations: usize) -> usize {
    (READ_BACK_INTERVAL..iterations).find(|d| iterations.is_multiple_of(*d)).unwrap_or(iterations)
}

/// An attack of fixed length over the batch that is loaded.
pub trait BatchAttack: Send {
    /// Hears which images of the set are in the batch, by their places in it, before they are attacked.
    fn load(&mut self, _target: &mut Target, _places: &[usize]) -> Result<(), ExecutionError> {
        Ok(())
    }
    /// The attacked images.
    fn attack(&mut self, target: &mut Target) -> Result<Vec<f32>, ExecutionError>;
    /// Its programs.
    fn sessions(&self) -> Vec<&Session>;
}

/// An image that comes to an attack.
#[derive(Clone, Copy)]
pub struct Arrival<'a> {
    /// Its pixels.
    pub image: &'a [f32],
    /// Its place in the set; random numbers follow it, so that they do not depend on batches.
    pub place: usize,
}

/// An attack that ends image by image.
pub trait SlotAttack: Send {
    /// Starts on a new image in `slot`.
    fn load(&mut self, target: &mut Target, slot: usize, arrival: Arrival) -> Result<(), ExecutionError>;
    /// Runs iterations on all slots, then looks at how they are.
    fn advance(&mut self, target: &mut Target, iterations: usize) -> Result<(), ExecutionError>;
    /// Whether the slot's image needs no more iterations.
    fn finished(&self, slot: usize) -> bool;
    /// The images as they would come out now, of all slots.
    fn results(&mut self, target: &mut Target) -> Result<Vec<f32>, ExecutionError>;
    /// Its programs.
    fn sessions(&self) -> Vec<&Session>;
    /// Iterations between two looks.
    fn chunk(&self) -> usize;
    /// The same attack with the images of these slots alone, one after the other, and all that it knows of them. `None` of
    /// an attack that keeps its slots.
    fn narrowed(&self, target: &Target, slots: &[usize]) -> Result<Option<Slots>, ExecutionError>;
}

/// An attack that ends image by image, with its target.
pub type Slots = (Target, Box<dyn SlotAttack>);

/// Slots come in multiples of this.
pub fn multiple(options: &AttackOptions) -> usize {
    match options.kind.run {
        Run::Slots { multiple, .. } => multiple,
        Run::Steps(_) | Run::Batch(_) => 1,
    }
}

/// An attack whose programs are compiled.
pub enum Prepared {
    /// Of fixed length.
    Batch(Box<dyn BatchAttack>),
    /// Image by image.
    Slots(Box<dyn SlotAttack>),
}

impl Prepared {
    /// Prepares an attack against the weights of `target`; `model` is where a generator comes from.
    pub fn new(target: &mut Target, options: &AttackOptions, model: &Model) -> Result<Self, AttackError> {
        match options.kind.run {
            Run::Batch(prepare) => Ok(Self::Batch(prepare(target, options, model)?)),
            _ => Self::without_generator(target, options),
        }
    }

    fn without_generator(target: &mut Target, options: &AttackOptions) -> Result<Self, AttackError> {
        match options.kind.run {
            Run::Steps(steps) => Self::in_steps(target, options, steps(options, target.problem())),
            Run::Slots { prepare, .. } => Ok(Self::Slots(prepare(target, options)?)),
            Run::Batch(_) => Err(AttackError::Unsuitable(format!("{} needs a whole model", options.kind))),
        }
    }

    fn in_steps(
        target: &mut Target,
        options: &AttackOptions,
        steps: Box<dyn Steps>,
    ) -> Result<Self, AttackError> {
        if options.started && !steps.starts_anywhere() {
            let problem = format!("{} cannot start at images that are given; fmn can", options.kind);
            return Err(AttackError::Unsuitable(problem));
        }
        let leaving = match options.kind.is_smallest() {
            true => Leaving::Nearest(options.norm, options.enough.map(f64::from)),
            false => Leaving::Fooled,
        };
        let plain = steps.rounds() == 1 && !steps.ends_early() && !steps.is_random();
        match plain && !options.kind.is_smallest() {
            true => Ok(Self::Batch(Box::new(Replayed::new(target, steps)?))),
            false => Ok(Self::Slots(Box::new(Flow::new(target, steps.into(), leaving)?))),
        }
    }

    /// Its programs.
    pub fn sessions(&self) -> Vec<&Session> {
        match self {
            Self::Batch(attack) => attack.sessions(),
            Self::Slots(attack) => attack.sessions(),
        }
    }

    /// All images of a set, those that are chosen attacked.
    pub fn over(
        &mut self,
        target: &mut Target,
        set: &Set,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<f32>, ExecutionError> {
        match self {
            Self::Batch(attack) => over_batches(attack.as_mut(), target, set, progress),
            Self::Slots(attack) => over_slots(attack.as_mut(), target, set, progress),
        }
    }
}

/// An attack with programs of its own on a classifier that is being trained.
pub struct LiveAttack {
    target: Target,
    attack: Prepared,
}

impl LiveAttack {
    /// Prepares it against the weights that live in `workspace`, for so many images at a time.
    pub fn new(
        workspace: &Workspace,
        net: &Net,
        options: &AttackOptions,
        images: usize,
    ) -> Result<Self, AttackError> {
        let slots = images.next_multiple_of(multiple(options));
        let mut target = Target::live(workspace, net, slots);
        let attack = Prepared::without_generator(&mut target, options)?;
        Ok(Self { target, attack })
    }

    /// The attacked images. `first` is the place of the first one among all that the run attacks, so that random numbers differ
    /// from step to step.
    pub fn run(
        &mut self,
        images: &[f32],
        classes: &[usize],
        first: usize,
    ) -> Result<Vec<f32>, ExecutionError> {
        let chosen: Vec<usize> = (0..classes.len()).collect();
        let places: Vec<usize> = chosen.iter().map(|index| first + index).collect();
        let set = Set {
            pixels: self.target.pixels(),
            images,
            classes,
            aims: &[],
            starts: &[],
            chosen: &chosen,
            places: &places,
        };
        self.attack.over(&mut self.target, &set, &mut |_, _| {})
    }
}

/// Images with their classes, and the indices of those that are attacked.
pub struct Set<'a> {
    /// Values of one image.
    pub pixels: usize,
    /// All images.
    pub images: &'a [f32],
    /// The classes that they are moved away from.
    pub classes: &'a [usize],
    /// The classes that they are led to; empty where any other will do.
    pub aims: &'a [usize],
    /// The images at which the attack starts, like `images`; empty where it starts where it likes.
    pub starts: &'a [f32],
    /// Indices of those that are attacked, in order.
    pub chosen: &'a [usize],
    /// The place of each image in the whole that the set is a part of.
    pub places: &'a [usize],
}

impl Set<'_> {
    fn image(&self, index: usize) -> &[f32] {
        &self.images[index * self.pixels..][..self.pixels]
    }

    fn start(&self, index: usize) -> &[f32] {
        &self.starts[index * self.pixels..][..self.pixels]
    }

    /// Images that are done from the start.
    fn spared(&self) -> usize {
        self.classes.len() - self.chosen.len()
    }
}

fn over_batches(
    attack: &mut dyn BatchAttack,
    target: &mut Target,
    set: &Set,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<f32>, ExecutionError> {
    let (total, pixels) = (set.classes.len(), set.pixels);
    let mut adversarial = memory::copy(set.images)?;
    let mut done = set.spared();
    progress(done, total);
    for batch in set.chosen.chunks(target.slots) {
        // The last batch is filled up with its own first image.
        let padded = batch.iter().chain(std::iter::repeat(&batch[0])).take(target.slots);
        let images: Vec<f32> = padded.clone().flat_map(|&i| set.image(i).iter().copied()).collect();
        let classes: Vec<f32> = padded.clone().map(|&i| set.classes[i] as f32).collect();
        target.load(&images, &classes)?;
        if target.aimed {
            let aims: Vec<f32> = padded.clone().map(|&i| set.aims[i] as f32).collect();
            target.workspace.write(AIMS, &aims)?;
        }
        if target.started {
            let starts: Vec<f32> = padded.clone().flat_map(|&i| set.start(i).iter().copied()).collect();
            target.workspace.write(STARTS, &starts)?;
        }
        let places: Vec<usize> = padded.map(|&i| set.places[i]).collect();
        attack.load(target, &places)?;
        let attacked = threads::computing(|| attack.attack(target))?;
        for (&i, image) in batch.iter().zip(attacked.chunks(pixels)) {
            adversarial[i * pixels..][..pixels].copy_from_slice(image);
        }
        done += batch.len();
        progress(done, total);
    }
    Ok(adversarial)
}

fn over_slots(
    attack: &mut dyn SlotAttack,
    target: &mut Target,
    set: &Set,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<f32>, ExecutionError> {
    let total = set.classes.len();
    let mut adversarial = memory::copy(set.images)?;
    let mut members: Vec<Option<usize>> = vec![None; target.slots];
    let mut waiting = set.chosen.iter().copied();
    let mut done = set.spared();
    progress(done, total);
    fill(target)?;
    for (slot, member) in members.iter_mut().enumerate() {
        *member = take(attack, target, set, slot, &mut waiting)?;
    }
    let mut narrow: Option<Slots> = None;
    let mut fits = true;
    while done < total {
        let (target, attack) = match &mut narrow {
            Some((target, attack)) => (target, attack.as_mut() as &mut dyn SlotAttack),
            None => (&mut *target, &mut *attack),
        };
        if let Some(slots) = worth_narrowing(target, &members).filter(|_| fits) {
            let narrowed = attack.narrowed(target, &slots);
            match target.workspace.device().unless_too_large(narrowed)? {
                Some(Some(narrowed)) => {
                    members = slots.iter().map(|&slot| members[slot]).collect();
                    narrow = Some(narrowed);
                    continue;
                }
                Some(None) => {}
                // The programs there are stay in memory beside those for fewer slots. Without room, all slots go on.
                None => fits = false,
            }
        }
        threads::computing(|| attack.advance(target, attack.chunk()))?;
        let leaving: Vec<usize> =
            (0..target.slots).filter(|&s| members[s].is_some() && attack.finished(s)).collect();
        if leaving.is_empty() {
            continue;
        }
        let results = attack.results(target)?;
        for slot in leaving {
            let index = members[slot].expect("leaving slots have images");
            adversarial[index * set.pixels..][..set.pixels]
                .copy_from_slice(&results[slot * set.pixels..][..set.pixels]);
            members[slot] = take(attack, target, set, slot, &mut waiting)?;
            done += 1;
        }
        progress(done, total);
    }
    Ok(adversarial)
}

/// Something for slots to compute with for which there is no image.
fn fill(target: &mut Target) -> Result<(), ExecutionError> {
    let (slots, values) = (target.slots, target.slots * target.pixels());
    target.load(&vec![FILLING; values], &vec![0.0; slots])?;
    if target.aimed {
        target.workspace.write(AIMS, &vec![0.0; slots])?;
    }
    if target.started {
        target.workspace.write(STARTS, &vec![FILLING; values])?;
    }
    Ok(())
}

/// Empty slots below which programs for fewer are not worth their preparation.
const FEWEST_EMPTY: usize = 4;

/// Whether so many images leave so many slots empty that programs for fewer are worth their preparation.
pub fn leaves_too_many_empty(slots: usize, images: usize) -> bool {
    let empty = slots - images;
    empty >= FEWEST_EMPTY && 4 * empty >= slots
}

/// The slots that have images, if too many have none. An attack on weights that change keeps its programs.
fn worth_narrowing(target: &Target, members: &[Option<usize>]) -> Option<Vec<usize>> {
    let taken: Vec<usize> = (0..members.len()).filter(|&slot| members[slot].is_some()).collect();
    let worth = !target.live && !taken.is_empty() && leaves_too_many_empty(members.len(), taken.len());
    worth.then_some(taken)
}

/// Puts the next image of the set into `slot`; a slot for which none is left goes on with what it has.
fn take(
    attack: &mut dyn SlotAttack,
    target: &mut Target,
    set: &Set,
    slot: usize,
    waiting: &mut impl Iterator<Item = usize>,
) -> Result<Option<usize>, ExecutionError> {
    let Some(index) = waiting.next() else { return Ok(None) };
    target.workspace.write_part(IMAGES, slot * set.pixels, set.image(index))?;
    target.workspace.write_part(LABELS, slot, &[set.classes[index] as f32])?;
    if target.aimed {
        target.workspace.write_part(AIMS, slot, &[set.aims[index] as f32])?;
    }
    if target.started {
        target.workspace.write_part(STARTS, slot * set.pixels, set.start(index))?;
    }
    attack.load(target, slot, Arrival { image: set.image(index), place: set.places[index] })?;
    Ok(Some(index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Mode;
    use crate::executor::Device;
    use crate::memory::OutOfMemory;
    use crate::nn::{Init, Network, Plan, Problem};

    /// An attack that whitens images: the one in slot i is done after i + 1 looks. There is no room for programs for fewer
    /// slots.
    struct WithoutRoom {
        left: Vec<usize>,
        asked: std::cell::Cell<usize>,
    }

    impl SlotAttack for WithoutRoom {
        fn load(&mut self, _: &mut Target, slot: usize, _: Arrival) -> Result<(), ExecutionError> {
            self.left[slot] = slot + 1;
            Ok(())
        }
        fn advance(&mut self, _: &mut Target, _: usize) -> Result<(), ExecutionError> {
            self.left.iter_mut().for_each(|left| *left = left.saturating_sub(1));
            Ok(())
        }
        fn finished(&self, slot: usize) -> bool {
            self.left[slot] == 0
        }
        fn results(&mut self, target: &mut Target) -> Result<Vec<f32>, ExecutionError> {
            Ok(vec![1.0; target.slots * target.pixels()])
        }
        fn sessions(&self) -> Vec<&Session> {
            Vec::new()
        }
        fn chunk(&self) -> usize {
            1
        }
        fn narrowed(&self, _: &Target, _: &[usize]) -> Result<Option<Slots>, ExecutionError> {
            self.asked.set(self.asked.get() + 1);
            Err(OutOfMemory { bytes: 1 }.into())
        }
    }

    #[test]
    fn without_room_for_programs_for_fewer_images_the_attack_goes_on_in_those_there_are() {
        const IMAGES: usize = 8;
        let net = Network::default().build(Plan::new(Problem::square(8, 1, 3), 0.0625)).unwrap();
        let values = net.initial(Init::He, 0);
        let model = Model::new(net, values);
        let mut target = Target::new(&Device::Cpu(Mode::Fast), &model, IMAGES).unwrap();
        let mut attack = WithoutRoom { left: vec![0; IMAGES], asked: std::cell::Cell::new(0) };
        let (chosen, images) = ((0..IMAGES).collect::<Vec<_>>(), vec![0.0; IMAGES * target.pixels()]);
        let set = Set {
            pixels: target.pixels(),
            images: &images,
            classes: &[0; IMAGES],
            aims: &[],
            starts: &[],
            chosen: &chosen,
            places: &chosen,
        };
        let adversarial = over_slots(&mut attack, &mut target, &set, &mut |_, _| {}).unwrap();
        assert_eq!(adversarial, vec![1.0; images.len()]);
        assert_eq!(attack.asked.get(), 1, "it is not tried again and again");
    }
}
