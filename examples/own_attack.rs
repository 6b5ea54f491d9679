//! An attack of your own, as everything built in runs it: here, images lose contrast until they are epsilon away.
//!
//!     cargo run --release --example own_attack model.safetensors

use pgn_wgpu::attacks::steps::{Start, Steps, Victim};
use pgn_wgpu::attacks::{self, Attack, AttackOptions, Attacker, Goal, Norm, Run, ball};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::data::{self, DataOptions};
use pgn_wgpu::executor::Device;
use pgn_wgpu::graph::{Graph, GraphError, Tensor};
use pgn_wgpu::models::file::Model;
use pgn_wgpu::training::run_data::problem_of;

static FADE: Attack = Attack {
    name: "fade",
    title: "Fade",
    about: "Less and less contrast",
    goal: Goal::Ball,
    norms: &Norm::ALL,
    usual: &[],
    options: &["epsilon", "norm"],
    classes: 2,
    aims: None,
    defaults: |_| {},
    passes: |_, _| 0.0,
    remedy: |_| "raise --epsilon".to_string(),
    run: Run::Steps(|options, _| Box::new(Fade(options.clone()))),
};

struct Fade(AttackOptions);

impl Steps for Fade {
    fn iterations(&self) -> usize {
        1
    }

    fn start(&self, _: &mut Graph, victim: Victim, _: Start) -> Result<Vec<Tensor>, GraphError> {
        Ok(vec![victim.images])
    }

    fn step(
        &self,
        graph: &mut Graph,
        victim: Victim,
        kept: &[Tensor],
        _: &[Tensor],
    ) -> Result<Vec<Tensor>, GraphError> {
        let grey = graph.affine(kept[0], 0.0, 0.5);
        let epsilon = graph.constant(self.0.epsilon, &[1])?;
        Ok(vec![ball::project(graph, victim.images, grey, epsilon, self.0.norm)?])
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("name a safetensors file with a classifier for the digits")?;
    let digits = data::open(&DataOptions::default())?;
    let model = Model::load(path.as_ref(), Some(problem_of(&digits)))?;
    let options = AttackOptions::new(attacks::register(&FADE)?);
    let mut attacker = Attacker::new(&Device::Cpu(Mode::Fast), &model, options, digits.test.len())?;
    let outcome = attacker.run(&digits.test, &mut |_, _| {})?;
    println!("benign accuracy {:.3}, faded {:.3}", outcome.benign_accuracy(), outcome.accuracy());
    Ok(())
}
