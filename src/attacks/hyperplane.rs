//! The smallest move within the box of pixels that takes a point onto a hyperplane `w·z = b`, in L2 or Linf.
//!
//! Every pixel moves towards the hyperplane, by `λ·u_i` or up to the edge of the box, whichever is less; `u_i` is `|w_i|` in
//! L2 and 1 in Linf. What all pixels gain together, `Σ |w_i| · min(λ·u_i, room_i)`, is a concave function of λ that consists
//! of straight pieces. Newton's method from `λ = 0` meets the distance to the hyperplane from the left, and exactly once no
//! pixel reaches its edge any more. Where the box does not meet the hyperplane, every pixel goes to its edge.

use super::options::Norm;
use crate::graph::{Graph, GraphError, Tensor, Unary};

/// Newton steps. A hyperplane that takes half of what the box allows needs about 5; in L2, one that takes 98 % needs up to
/// 12, and beyond that the move ends a little short of it. Linf needs 7 at most.
const NEWTON: usize = 12;
/// Keeps denominators away from 0.
const TINY: f32 = 1e-30;
/// The largest λ, where no pixel can go further.
const LARGE: f32 = 1e30;

/// The smallest moves of `x`, `[n, …]`, onto the hyperplanes with these normals, `[n, …]`; `excess` is `w·x − b`, `[n, 1]`.
pub fn onto(
    graph: &mut Graph,
    x: Tensor,
    normal: Tensor,
    excess: Tensor,
    norm: Norm,
) -> Result<Tensor, GraphError> {
    let columns = graph.shape(x).columns() as f32;
    let sign = |graph: &mut Graph, x| Ok(graph.unary(Unary::Sign, x));
    graph.formula(|f| {
        let [x, normal, excess] = f.all([x, normal, excess]);
        // In units of the mean weight, so that the scale of the logits does not matter.
        let unit = (normal.abs().sum_columns() / columns).clamp(TINY, f32::MAX);
        let weight = normal.abs() / unit;
        let wanted = excess.abs() / unit;
        let direction = normal.then(sign) * (-excess).then(sign);
        let room = (direction.clamp(0.0, 1.0) - x).abs();
        let speed = match norm {
            Norm::L2 => weight,
            Norm::Linf => normal.then(sign).abs(),
        };
        let edge = room / speed.clamp(TINY, f32::MAX);
        let (gain_at_edge, slope) = (weight * room, weight * speed);
        let mut lambda = wanted * 0.0;
        for _ in 0..NEWTON {
            let inside = edge.greater(lambda);
            let left = wanted - (gain_at_edge * (-inside + 1.0)).sum_columns();
            let slope = (slope * inside).sum_columns().clamp(TINY, f32::MAX);
            lambda = lambda.maximum(left / slope).clamp(0.0, LARGE);
        }
        direction * (speed * lambda).minimum(room)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Mode;
    use crate::executor::{Device, Workspace};
    use crate::random::{Random, Stream};

    /// A point, a normal and the excess of the point, of an image of `PIXELS` values.
    struct Case {
        x: Vec<f32>,
        normal: Vec<f32>,
        excess: f32,
    }

    const PIXELS: usize = 3 * 16 * 16;
    const CASES: usize = 200;

    /// Every fifth weight is 0, and half of the pixels are at 0 or 1. Weights are alike in some cases and far apart in
    /// others. Excesses are from almost nothing to twice what the box allows.
    fn case(number: usize) -> Case {
        let random = Random::new(3, Stream::Attack);
        let pick = |stream: u32, i: usize| random.uniform(stream, (number * PIXELS + i) as u32);
        let normal_number = |stream: u32, i: usize| random.normal(stream, (number * PIXELS + i) as u32);
        let spread = (number % 4) as f32;
        let scale = 10_f32.powi(number as i32 % 9 - 6);
        let normal: Vec<f32> = (0..PIXELS)
            .map(|i| match pick(0, i) < 0.2 {
                true => 0.0,
                false => scale * normal_number(1, i) * (spread * normal_number(2, i)).exp(),
            })
            .collect();
        let x: Vec<f32> = (0..PIXELS)
            .map(|i| match pick(3, i) {
                edge if edge < 0.25 => 0.0,
                edge if edge < 0.5 => 1.0,
                _ => pick(4, i),
            })
            .collect();
        let side = if number.is_multiple_of(2) { 1.0 } else { -1.0 };
        let share = [1e-4, 0.01, 0.1, 0.4, 0.8, 0.98, 2.0][number / 4 % 7];
        let whole = Problem::of(&x, &normal, side, Norm::L2).whole();
        Case { x, normal, excess: (f64::from(side) * share * whole) as f32 }
    }

    /// The same in f64.
    struct Problem {
        direction: Vec<f64>,
        weight: Vec<f64>,
        room: Vec<f64>,
        speed: Vec<f64>,
        wanted: f64,
    }

    impl Problem {
        fn of(x: &[f32], normal: &[f32], excess: f32, norm: Norm) -> Self {
            let weight: Vec<f64> = normal.iter().map(|w| f64::from(w.abs())).collect();
            let sign = |w: &f32| if *w == 0.0 { 0.0 } else { f64::from(-w.signum() * excess.signum()) };
            let direction: Vec<f64> = normal.iter().map(sign).collect();
            let room = |(x, d): (&f32, &f64)| if *d > 0.0 { 1.0 - f64::from(*x) } else { f64::from(*x) };
            let speed = match norm {
                Norm::L2 => weight.clone(),
                Norm::Linf => direction.iter().map(|d| d.abs()).collect(),
            };
            let room = x.iter().zip(&direction).map(room).collect();
            Self { direction, weight, room, speed, wanted: f64::from(excess.abs()) }
        }

        fn edge(&self, i: usize) -> f64 {
            if self.speed[i] == 0.0 { f64::INFINITY } else { self.room[i] / self.speed[i] }
        }

        /// What the box allows.
        fn whole(&self) -> f64 {
            self.weight.iter().zip(&self.room).map(|(w, room)| w * room).sum()
        }

        /// The multiplier, from edge to edge in their order.
        fn exact(&self) -> f64 {
            let mut order: Vec<usize> = (0..self.weight.len()).filter(|&i| self.speed[i] > 0.0).collect();
            order.sort_by(|&a, &b| self.edge(a).total_cmp(&self.edge(b)));
            let mut slope: f64 = order.iter().map(|&i| self.weight[i] * self.speed[i]).sum();
            let (mut lambda, mut gained) = (0.0, 0.0);
            for i in order {
                let next = gained + slope * (self.edge(i) - lambda);
                if next >= self.wanted {
                    return lambda + (self.wanted - gained) / slope;
                }
                (lambda, gained) = (self.edge(i), next);
                slope -= self.weight[i] * self.speed[i];
            }
            f64::INFINITY
        }

        /// How many Newton steps change the multiplier.
        fn newton_steps(&self) -> usize {
            let mut lambda = 0.0;
            for step in 0.. {
                let (mut left, mut slope) = (self.wanted, 0.0);
                for i in 0..self.weight.len() {
                    match self.edge(i) > lambda {
                        true => slope += self.weight[i] * self.speed[i],
                        false => left -= self.weight[i] * self.room[i],
                    }
                }
                if slope == 0.0 || left / slope <= lambda * (1.0 + 1e-9) {
                    return step;
                }
                lambda = left / slope;
            }
            unreachable!("the loop has no end")
        }

        fn moves(&self, lambda: f64) -> Vec<f64> {
            let of = |i: usize| match self.speed[i] == 0.0 {
                true => 0.0,
                false => self.direction[i] * (self.speed[i] * lambda).min(self.room[i]),
            };
            (0..self.weight.len()).map(of).collect()
        }
    }

    #[test]
    fn moves_are_those_of_an_exact_solver_inside_the_box_and_on_the_plane_if_it_can_be_reached() {
        let cases: Vec<Case> = (0..CASES).map(case).collect();
        let flat = |of: fn(&Case) -> &[f32]| -> Vec<f32> { cases.iter().flat_map(of).copied().collect() };
        for norm in Norm::ALL {
            let mut graph = Graph::new();
            let [x, normal] = ["x", "normal"].map(|name| graph.input(name, &[CASES, 16, 16, 3]).unwrap());
            let excess = graph.input("excess", &[CASES, 1]).unwrap();
            let moves = onto(&mut graph, x, normal, excess, norm).unwrap();
            graph.output("moves", moves);
            let mut session = Workspace::new(Device::Cpu(Mode::Fast)).prepare(&graph).unwrap();
            session.write("x", &flat(|case| &case.x)).unwrap();
            session.write("normal", &flat(|case| &case.normal)).unwrap();
            session.write("excess", &cases.iter().map(|case| case.excess).collect::<Vec<_>>()).unwrap();
            let outputs = session.compute().unwrap();
            for (number, (case, found)) in cases.iter().zip(outputs.get("moves").chunks(PIXELS)).enumerate() {
                let problem = Problem::of(&case.x, &case.normal, case.excess, norm);
                let (what, lambda) = (format!("{}, case {number}", norm.name()), problem.exact());
                let steps = problem.newton_steps();
                assert!(steps <= NEWTON, "{what} needs {steps} steps");
                for (i, (&found, expected)) in found.iter().zip(problem.moves(lambda)).enumerate() {
                    let off = (f64::from(found) - expected).abs();
                    assert!(off < 1e-5 + 1e-4 * expected.abs(), "{what}, pixel {i}: {found} for {expected}");
                    assert!((0.0..=1.0).contains(&(case.x[i] + found)), "{what}, pixel {i}");
                }
                if lambda.is_finite() {
                    let gained: f64 = found
                        .iter()
                        .zip(&case.normal)
                        .map(|(move_, w)| -f64::from(*move_) * f64::from(*w))
                        .sum::<f64>()
                        * f64::from(case.excess.signum());
                    let off = (gained / problem.wanted - 1.0).abs();
                    assert!(off < 1e-4, "{what}: {gained} of {}", problem.wanted);
                }
            }
        }
    }

    #[test]
    fn a_flat_function_moves_nothing() {
        let mut graph = Graph::new();
        let [x, normal] = ["x", "normal"].map(|name| graph.input(name, &[1, 4]).unwrap());
        let excess = graph.input("excess", &[1, 1]).unwrap();
        for norm in Norm::ALL {
            let moves = onto(&mut graph, x, normal, excess, norm).unwrap();
            graph.output(norm.flag(), moves);
        }
        let mut session = Workspace::new(Device::Cpu(Mode::Fast)).prepare(&graph).unwrap();
        session.write("x", &[0.0, 0.3, 0.9, 1.0]).unwrap();
        for excess in [0.0, 3.0, -3e20] {
            session.write("normal", &[0.0; 4]).unwrap();
            session.write("excess", &[excess]).unwrap();
            let outputs = session.compute().unwrap();
            for norm in Norm::ALL {
                assert_eq!(outputs.get(norm.flag()), [0.0; 4], "{}, {excess}", norm.name());
            }
        }
    }
}
