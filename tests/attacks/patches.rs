//! A session that follows an input computes only what patches of the images change. Its results must have the bits of a whole run.

use pgn_wgpu::cpu::Mode;
use pgn_wgpu::executor::{Device, Patch, Session, Workspace};
use pgn_wgpu::graph::{Convolution, Graph, Window};
use pgn_wgpu::nn::builder::Kernel;
use pgn_wgpu::nn::layer::Pooling;
use pgn_wgpu::nn::{Builder, Classifier, Init, Net, Network, Plan, Problem};
use pgn_wgpu::random::{Random, Stream};

const IMAGES: usize = 3;
const CLASSES: usize = 4;

fn problem(height: usize, width: usize) -> Problem {
    Problem { height, width, channels: 3, classes: CLASSES }
}

/// Strides, kernels and paddings that the zoo does not have, both kinds of pooling with gaps and overlaps, groups of channels, and a sum
/// of two ways of different reach.
fn unusual() -> Net {
    let mut net = Builder::new(problem(38, 31));
    let wide = Convolution { padding: [[1, 2], [0, 3]], dilation: [2, 1], ..Convolution::same(3, 1) };
    let x = net.convolution(net.images(), "wide", Kernel::new(3, 8).geometry(wide));
    let x = net.relu(x);
    let x = net.pool(x, Pooling::Max, Window { stride: [1, 2], ..Window::new(2, 3) });
    let way = net.convolution(x, "way", Kernel::new(5, 8));
    let other = net.convolution(x, "other", Kernel::new(3, 8).groups(4));
    let x = net.add(way, other);
    let x = net.convolution(x, "apart", Kernel::new(1, 20).stride(2).without_bias());
    let x = net.pool(x, Pooling::Mean, Window { padding: [[1, 1], [1, 0]], ..Window::new(3, 2) });
    let x = net.convolution(x, "last", Kernel::new(3, CLASSES));
    net.global_mean(x);
    net.finish().unwrap()
}

/// Networks, and the largest patch that each is tried with.
fn networks() -> Vec<(&'static str, Net, usize)> {
    let of = |name: &str, side: usize, width: f32| {
        let network: Network = name.parse().unwrap();
        network.build(Plan::new(problem(side, side), width)).unwrap()
    };
    vec![
        ("all-convolutional", of("all-convolutional", 32, 0.125), 5),
        ("resnet18", of("resnet18", 32, 0.0625), 3),
        ("unusual", unusual(), 4),
    ]
}

fn session(net: &Net, mode: Mode) -> Session {
    let mut workspace = Workspace::new(Device::Cpu(mode));
    let values = net.initial(Init::He, 3);
    workspace.write("net.parameters", &values.weights).unwrap();
    if !values.buffers.is_empty() {
        workspace.write("net.buffers", &values.buffers).unwrap();
    }
    let mut graph = Graph::new();
    let states = net.live(&mut graph, "net").unwrap();
    let images = graph.input("images", &net.problem.batch(IMAGES)).unwrap();
    let logits = Classifier::evaluated(net, &states).logits(&mut graph, images).unwrap();
    graph.output("logits", logits);
    workspace.prepare(&graph).unwrap()
}

fn logits(session: &mut Session, images: &[f32]) -> Vec<f32> {
    session.write("images", images).unwrap();
    session.compute().unwrap().get("logits").to_vec()
}

/// Random numbers, one after the other.
struct Draws(Random, u32);

impl Draws {
    fn next(&mut self) -> f32 {
        self.1 += 1;
        self.0.uniform(0, self.1)
    }

    /// A whole number up to `most`: often 0 or `most`, because borders are special cases.
    fn up_to(&mut self, most: usize) -> usize {
        match (self.next() * 4.0) as usize {
            0 => 0,
            1 => most,
            _ => (self.next() * most as f32) as usize,
        }
    }
}

/// Changes `of_image` patches of every image.
fn change(
    draws: &mut Draws,
    problem: Problem,
    side: usize,
    of_image: usize,
    images: &mut [f32],
) -> Vec<Patch> {
    let mut patches = Vec::new();
    for image in 0..IMAGES {
        for _ in 0..of_image {
            let [row, column] = [problem.height, problem.width].map(|extent| draws.up_to(extent - side));
            for y in row..row + side {
                let first = ((image * problem.height + y) * problem.width + column) * 3;
                images[first..first + side * 3].fill_with(|| draws.next());
            }
            patches.push(Patch { image, row, column });
        }
    }
    patches
}

#[test]
fn results_after_patches_have_the_bits_of_a_whole_run_whether_they_are_kept_or_taken_back() {
    for (name, net, largest) in networks() {
        let (mut whole, mut following) = (session(&net, Mode::Fast), session(&net, Mode::Fast));
        let mut draws = Draws(Random::new(9, Stream::Attack), 0);
        let mut known: Vec<f32> = (0..IMAGES * net.problem.pixels()).map(|_| draws.next()).collect();
        for (side, of_image) in [(1, 1), (largest, 1), (2, 2)] {
            assert!(following.follow("images", [side; 2], of_image), "{name}, side {side}");
            assert_eq!(logits(&mut following, &known), logits(&mut whole, &known), "{name}");
            for round in 0..5 {
                let mut images = known.clone();
                let patches = change(&mut draws, net.problem, side, of_image, &mut images);
                following.write("images", &images).unwrap();
                let outputs = following.compute_patches(&patches).unwrap();
                let expected = logits(&mut whole, &images);
                assert_eq!(
                    outputs.get("logits"),
                    expected,
                    "{name}, {of_image} of side {side}, round {round}"
                );
                let is_taken = |image: usize| !(image + round).is_multiple_of(3);
                following.take_back(is_taken);
                let pixels = net.problem.pixels();
                for image in (0..IMAGES).filter(|image| !is_taken(*image)) {
                    known[image * pixels..][..pixels].copy_from_slice(&images[image * pixels..][..pixels]);
                }
            }
        }
        following.stop_following();
        assert_eq!(logits(&mut following, &known), logits(&mut whole, &known), "{name}");
    }
}

#[test]
fn nothing_is_followed_where_it_saves_too_little_or_where_everything_is_to_be_computed() {
    let net = unusual();
    let mut fast = session(&net, Mode::Fast);
    assert!(fast.follow("images", [3, 3], 1));
    for (size, of_image) in [([30, 30], 1), ([3, 3], 9), ([39, 1], 1)] {
        assert!(!fast.follow("images", size, of_image), "{of_image} of {size:?}");
    }
    assert!(!fast.follow("pictures", [3, 3], 1));
    assert!(!session(&net, Mode::Reference).follow("images", [3, 3], 1));
}

#[test]
fn a_program_that_changes_its_states_is_not_followed() {
    let mut graph = Graph::new();
    let images = graph.input("images", &[1, 64, 64, 8]).unwrap();
    let weight = graph.state("weight", &[3, 3, 8, 8]).unwrap();
    let result = graph.convolve(Convolution::same(3, 1), images, weight).unwrap();
    graph.output("result", result);
    let prepared = |graph: &Graph| Workspace::new(Device::Cpu(Mode::Fast)).prepare(graph).unwrap();
    assert!(prepared(&graph).follow("images", [3, 3], 1));
    let count = graph.state("count", &[1]).unwrap();
    let more = graph.affine(count, 1.0, 1.0);
    graph.assign(count, more).unwrap();
    assert!(!prepared(&graph).follow("images", [3, 3], 1));
}
