use super::*;
use crate::attacks::AttackKind;
use crate::attacks::driver::LiveAttack;
use crate::cpu::Mode;
use crate::executor::{Device, Workspace};
use crate::nn::builder::Kernel;
use crate::nn::{Builder, Init, Net, Network, Plan, Problem};
use crate::random::{Random, Stream};

const PROBLEM: Problem = Problem { height: 6, width: 9, channels: 1, classes: 2 };
const PIXELS: usize = 54;

fn search() -> Search {
    let image = vec![0.5; PIXELS];
    Search {
        place: 3,
        label: 0.0,
        original: image.clone(),
        best: image,
        margin: f32::INFINITY,
        round: 0,
        query: 0,
        over: false,
    }
}

#[test]
fn a_candidate_with_a_larger_margin_is_never_taken() {
    for norm in Norm::ALL {
        let candidates = Candidates::new(PROBLEM, norm, 0.3);
        // A margin without any slope: whatever comes is as good as another.
        let margin_of = |image: &[f32]| {
            2.0 + image.iter().enumerate().map(|(i, x)| (37.0 * x + i as f32).sin()).sum::<f32>() / 54.0
        };
        let (mut search, mut out, mut taken) = (search(), vec![0.0; PIXELS], 0);
        for query in 0..400 {
            let before = (search.margin, search.best.clone());
            search.propose(&candidates, 1, &mut out);
            let margin = margin_of(&out);
            search.judge(&out, margin, (1000, 1));
            assert_eq!(search.margin, margin_of(&search.best), "{norm:?} query {query}");
            match margin < before.0 {
                true => assert_eq!((search.margin, &search.best), (margin, &out), "{norm:?} query {query}"),
                false => assert_eq!((search.margin, &search.best), (before.0, &before.1)),
            }
            taken += usize::from(search.best != before.1);
        }
        assert!((5..300).contains(&taken), "{norm:?}: {taken} of 400 were taken");
    }
}

#[test]
fn an_image_leaves_when_it_is_fooled_and_else_after_all_queries_of_all_rounds() {
    let (limits, out) = ((5, 2), vec![0.25; PIXELS]);
    let mut fooled = search();
    fooled.judge(&out, 1.0, limits);
    assert!(!fooled.over);
    fooled.judge(&out, 0.0, limits);
    assert!(fooled.over && fooled.best == out);
    let mut stands = search();
    // The start and five queries, twice.
    for _ in 0..11 {
        stands.judge(&out, 1.0, limits);
        assert!(!stands.over);
    }
    stands.judge(&out, 1.0, limits);
    assert!(stands.over);
}

#[test]
fn a_margin_that_is_no_number_is_larger_than_every_other() {
    let (mut search, out) = (search(), vec![0.25; PIXELS]);
    search.judge(&out, f32::NAN, (5, 1));
    assert!(!search.over);
    search.judge(&[0.75; PIXELS], 3.0, (5, 1));
    assert_eq!((search.margin, search.best[0]), (3.0, 0.75));
    search.judge(&out, f32::NAN, (5, 1));
    assert_eq!((search.margin, search.best[0]), (3.0, 0.75));
}

/// A network for low, wide images. All their windows have one side, so the session goes on following when a round starts.
fn wide_net() -> Net {
    let mut net = Builder::new(Problem { height: 3, width: 64, channels: 3, classes: 3 });
    let x = net.convolution(net.images(), "first", Kernel::new(3, 8));
    let x = net.relu(x);
    let x = net.convolution(x, "second", Kernel::new(3, 3));
    net.global_mean(x);
    net.finish().unwrap()
}

#[test]
fn training_draws_other_windows_in_every_step() {
    let problem = Problem { height: 8, width: 8, channels: 1, classes: 3 };
    let net = Network::default().build(Plan::new(problem, 0.0625)).unwrap();
    let mut workspace = Workspace::new(Device::Cpu(Mode::Fast));
    workspace.write("classifier.parameters", &net.initial(Init::He, 3).weights).unwrap();
    let options = AttackOptions {
        epsilon: 1e-3,
        norm: Norm::Linf,
        queries: 3,
        ..AttackOptions::new(AttackKind::SQUARE)
    };
    let mut attack = LiveAttack::new(&workspace, &net, &options, 2).unwrap();
    let images = vec![0.5; 2 * problem.pixels()];
    let mut from = |first| attack.run(&images, &[0, 1], first).unwrap();
    let (here, there) = (from(0), from(2));
    assert!(here != there, "the same windows at other places");
    assert!(here == from(0), "other windows at the same places");
}

#[test]
fn the_margins_that_the_search_knows_are_those_of_its_images() {
    let usual = Problem { height: 32, width: 32, channels: 3, classes: 3 };
    let usual = Network::default().build(Plan::new(usual, 0.0625)).unwrap();
    for (net, norm) in [(&usual, Norm::Linf), (&usual, Norm::L2), (&wide_net(), Norm::L2)] {
        margins_stay_those_of_images(net, norm);
    }
}

/// Runs a search in which windows shrink and one image starts another round, and computes every margin afresh.
fn margins_stay_those_of_images(net: &Net, norm: Norm) {
    let (problem, count) = (net.problem, 4);
    let mut workspace = Workspace::new(Device::Cpu(Mode::Fast));
    workspace.write("classifier.parameters", &net.initial(Init::He, 3).weights).unwrap();
    let random = Random::new(5, Stream::Augment);
    let images: Vec<f32> = (0..count * problem.pixels()).map(|i| random.uniform(0, i as u32)).collect();
    let mut target = Target::live(&workspace, net, count);
    let mut fresh = Judge::new(&mut target, count).unwrap();
    let mut margins = |images: &[f32], labels: &[f32]| {
        fresh.session.write(CANDIDATES, images).unwrap();
        fresh.session.write(CLASSES, labels).unwrap();
        fresh.session.compute().unwrap().get(MARGINS).to_vec()
    };
    let leads: Vec<Vec<f32>> = [0.0, 1.0, 2.0].map(|class| margins(&images, &vec![class; count])).to_vec();
    let label = |i: usize| leads.iter().position(|lead| lead[i] > 0.0).unwrap() as f32;
    let labels: Vec<f32> = (0..count).map(label).collect();
    target.load(&images, &labels).unwrap();
    // Too little to fool anything, and more queries than the search is given.
    let options =
        AttackOptions { epsilon: 1e-3, norm, queries: 5000, ..AttackOptions::new(AttackKind::SQUARE) };
    let mut square = Square::new(&mut target, &options).unwrap();
    for (slot, image) in images.chunks(problem.pixels()).enumerate() {
        square.load(&mut target, slot, Arrival { image, place: 7 + slot }).unwrap();
    }
    let (mut followed, mut taken) = (0, 0);
    for step in 0..60 {
        if step == 40 {
            // One image begins another round; the others go on.
            square.slots[1].as_mut().unwrap().query = 0;
        }
        let before: Vec<f32> = square.slots.iter().flatten().map(|search| search.margin).collect();
        // Far apart, so that windows of several sizes come.
        let running = square.slots.iter_mut().flatten().filter(|search| search.query > 0);
        running.for_each(|search| search.query += 70);
        square.advance(&mut target, 1).unwrap();
        followed += usize::from(!square.full.known.is_empty());
        let margins = margins(&square.results(&mut target).unwrap(), &labels);
        for ((search, margin), before) in square.slots.iter().flatten().zip(margins).zip(before) {
            assert_eq!(search.margin, margin, "{problem:?}, {norm:?}, query {}", search.query);
            taken += usize::from(margin < before);
        }
    }
    assert!(followed > 30 && taken > 20, "{problem:?}, {norm:?}: {followed} followed, {taken} taken");
}
