//! How far are the decisions of your own weights from the images? DeepFool on the digits, in a few lines:
//!
//!     cargo run --release --example attack_own_weights model.safetensors
//!
//! The file may come from `pgn-wgpu train` or from PyTorch, with tensors named `classifier.convs.0.weight` and so on.

use pgn_wgpu::attacks::{AttackKind, AttackOptions, Attacker, ImageVerdict};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::data::{self, DataOptions};
use pgn_wgpu::executor::Device;
use pgn_wgpu::models::file::Model;
use pgn_wgpu::training::run_data::problem_of;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("name a safetensors file with a classifier for the digits")?;
    let digits = data::open(&DataOptions::default())?;
    let model = Model::load(path.as_ref(), Some(problem_of(&digits)))?;
    let options = AttackOptions::new(AttackKind::DEEPFOOL);
    let mut attacker = Attacker::new(&Device::Cpu(Mode::Fast), &model, options, digits.test.len())?;
    let outcome = attacker.run(&digits.test, &mut |done, total| eprint!("\r{done}/{total} images"))?;
    let fooled = (0..outcome.len()).filter(|&i| outcome.verdict(i) == ImageVerdict::Fooled);
    let mut distances: Vec<f32> = fooled.map(|i| outcome.l2[i]).collect();
    distances.sort_by(f32::total_cmp);
    println!("\nbenign accuracy {:.4}", outcome.benign_accuracy());
    println!("fooled          {} of {} images", distances.len(), outcome.attacked());
    println!("median L2       {:.4}", distances.get(distances.len() / 2).copied().unwrap_or(f32::NAN));
    Ok(())
}
