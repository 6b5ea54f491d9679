//! A network of your own, trained against PGD on the embedded digits, and judged:
//!
//!     cargo run --release --example own_network

use pgn_wgpu::attacks::{AttackKind, AttackOptions, Attacker};
use pgn_wgpu::cpu::Mode;
use pgn_wgpu::data::{self, BatchOptions, DataOptions, DatasetKind};
use pgn_wgpu::executor::Device;
use pgn_wgpu::models::file::Model;
use pgn_wgpu::nn::builder::{Builder, Kernel};
use pgn_wgpu::training::run_data::problem_of;
use pgn_wgpu::training::{Method, Preset, TrainConfig, Trainer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let digits = data::open(&DataOptions::default())?;
    let problem = problem_of(&digits);
    let mut net = Builder::new(problem);
    let mut x = net.images();
    for (layer, channels) in [16, 32].into_iter().enumerate() {
        x = net.convolution(x, &format!("conv{layer}"), Kernel::new(3, channels).stride(2));
        x = net.relu(x);
    }
    x = net.flatten(x);
    net.dense(x, "fc", problem.classes, 1.0);
    let preset = TrainConfig::preset(Preset::Small, DatasetKind::Digits);
    let config = TrainConfig { method: Method::PGD, ..preset };
    let net = net.finish()?;
    let weights = net.initial(config.init, config.seed);
    let mut model = Model::new(net, weights);
    let device = Device::Cpu(Mode::Fast);
    let mut trainer = Trainer::new(device.clone(), &config, problem, Some(&model), None)?;
    let batches = BatchOptions::in_order(config.batch_size);
    for epoch in 0..20 {
        for index in 0..data::batches_per_epoch(digits.train.len(), config.batch_size) {
            let step = trainer.submit(&data::make_batch(&digits.train, &batches, epoch, index))?;
            trainer.collect(step)?;
        }
    }
    (model.live, model.average, _) = trainer.values()?;
    let mut pgd = Attacker::new(&device, &model, AttackOptions::new(AttackKind::PGD), digits.test.len())?;
    let outcome = pgd.run(&digits.test, &mut |_, _| {})?;
    println!("benign accuracy {:.3}, under PGD {:.3}", outcome.benign_accuracy(), outcome.accuracy());
    Ok(())
}
