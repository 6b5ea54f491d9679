//! What changes from step to step on the host: Adam's bias-corrected step size and the average's decay.

use super::config::TrainConfig;
use crate::program::ADAM_BETAS;

/// `lr · sqrt(1 − β2^t) / (1 − β1^t)` for the update number `t`, counted from 1.
pub fn step_size(lr: f32, t: u64) -> f32 {
    let [beta1, beta2] = ADAM_BETAS.map(f64::from);
    let t = t.min(i32::MAX as u64) as i32;
    (f64::from(lr) * (1.0 - beta2.powi(t)).sqrt() / (1.0 - beta1.powi(t))) as f32
}

/// The moving average's decay at update number `t`, counted from 1: min(decay, (1 + t) / (10 + t)) with
/// warm-up, without which a short run is evaluated on its initial weights.
pub fn ema_decay(config: &TrainConfig, t: u64) -> f32 {
    let warm = (1.0 + t as f32) / (10.0 + t as f32);
    if config.ema_warmup { config.ema_decay.min(warm) } else { config.ema_decay }
}
