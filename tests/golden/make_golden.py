"""Writes the golden values: side8, side12 and side28.safetensors beside this file.

Everything is computed in float64 from inputs that float32 holds exactly, then stored as float32: the files are the
method's values, not one float32 library's rounding of them. `--compare-float32` repeats the computation in float32
instead, writes nothing, and prints how far rounding alone moves each family of tensors; README.md's tolerances
come from there.
"""

import argparse
import json
import pathlib
import re
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import reference as ref

STEPS = 3
THROUGH_EPSILON = 0.3
MIXED_ADV_COEFF = 0.5

# Standard deviation of the drawn weights, times sqrt(fan_in). Above a real start's, so that logits, perturbations
# and the path through the raw gradient image are large enough to show an error in softmax, composition or second
# order.
GAIN, LAST_CLASSIFIER_GAIN, LAST_GENERATOR_GAIN, GRADIENT_IMAGE_GAIN = 2.0, 4.0, 0.5, 20.0
BIAS_SCALE = 0.1


@dataclass
class Configuration:
    """One small network pair and the settings of its steps."""

    name: str
    side: int
    channels: int
    classes: int
    width: float
    batch: int
    lr: float
    generator_lr: float
    ema_decay: float
    c_l: float
    seed: int
    variants: bool = False  # also the tanh penalty, alternating, mixed and through-attack steps


# Seeds are chosen so that no pre-activation in any of the steps comes nearer than 2e-5 to leaky ReLU's kink, where
# rounding could pick the other slope and rightly change a gradient.
CONFIGURATIONS = [
    Configuration("side8", 8, 1, 10, 0.125, 5, 2e-3, 1e-3, 0.99, 0.5, seed=52, variants=True),
    # A decay below the warm-up's third value, so that both branches of the minimum are taken.
    Configuration("side12", 12, 3, 3, 0.0625, 3, 1e-3, 2e-3, 0.2, 0.25, seed=21),
    # 28 pools to 14, 7 and 3: the last pool drops a row and a column. More images than classes.
    Configuration("side28", 28, 1, 2, 0.03125, 3, 2e-3, 2e-3, 0.99, 0.4, seed=48),
]


def exact(rng, shape, scale):
    """Normal numbers that float32 holds exactly, in the working precision."""
    values = (rng.standard_normal(shape) * scale).astype(np.float32)
    return torch.from_numpy(values).to(torch.get_default_dtype())


def draw_weights(rng, classifier, generator):
    """Random weights and biases for both networks."""
    for module in [*classifier.modules(), *generator.modules()]:
        if not isinstance(module, (torch.nn.Conv2d, torch.nn.Linear, torch.nn.ConvTranspose2d)):
            continue
        transposed = isinstance(module, torch.nn.ConvTranspose2d)
        fan_in = module.in_channels * 9 if transposed else module.weight[0].numel()
        scale = np.full(module.weight.shape, GAIN)
        if module is classifier.convs[-1]:
            scale[:] = LAST_CLASSIFIER_GAIN
        elif module is generator.up4:
            scale[:] = LAST_GENERATOR_GAIN
        elif module is generator.up3:
            scale[-generator.up4.out_channels:] = GRADIENT_IMAGE_GAIN
        module.weight.copy_(exact(rng, module.weight.shape, scale / np.sqrt(fan_in)))
        module.bias.copy_(exact(rng, module.bias.shape, BIAS_SCALE))


def draw(config):
    """Networks, images with some black and white pixels, labels that differ as far as there are classes.

    NumPy draws them, so the values do not depend on PyTorch's version.
    """
    rng = np.random.Generator(np.random.PCG64(config.seed))
    shape = (config.side, config.channels, config.classes, config.width)
    classifier, generator = ref.Classifier(*shape), ref.Generator(*shape)
    with torch.no_grad():
        draw_weights(rng, classifier, generator)
    pixels = rng.random((config.batch, config.channels, config.side, config.side), dtype=np.float32)
    kind = rng.random(pixels.shape)
    pixels[kind < 0.03], pixels[kind > 0.97] = 0.0, 1.0
    labels = rng.permutation(max(config.classes, config.batch))[: config.batch] % config.classes
    return classifier, generator, torch.from_numpy(pixels).to(torch.get_default_dtype()), torch.from_numpy(labels)


def named(prefix, module, values):
    """Tensors of a module's parameters under `prefix.NAME`, for any list in the order of `parameters()`."""
    return {f"{prefix}.{name}": v.detach().clone() for (name, _), v in zip(module.named_parameters(), values)}


def weights(prefix, module):
    return named(prefix, module, module.parameters())


def forward_values(classifier, x, labels):
    """Logits, losses, every first derivative of the classifier and the four readings of the gradient image."""
    leaf = x.clone().requires_grad_()
    logits = classifier(leaf)
    per_image = F.cross_entropy(logits, labels, reduction="none")
    (input_gradient,) = torch.autograd.grad(per_image.sum(), leaf, retain_graph=True)
    out = {"logits": logits, "cross_entropy": per_image, "input_gradient": input_gradient}
    out["saturation_free_gradient"] = ref.saturation_free_gradient(classifier, x, labels)
    out |= named("natural.gradient.classifier", classifier, ref.gradients(per_image.mean(), classifier))
    for reading in ("log", "rms", "l2", "raw"):
        out[f"gradient_image.{reading}"] = ref.gradient_image(classifier, x, labels, reading)
    return out


def game_values(config, classifier, generator, x, labels):
    """One evaluation of the game and the gradients of its objective for both networks."""
    game = ref.pgn_objective(classifier, generator, x, labels, config.c_l)
    out = {"generator_output": game["output"], "x_adv": game["x_adv"], "adversarial_logits": game["logits"],
           "delta_norms": game["delta_norms"]}
    for name, module in (("classifier", classifier), ("generator", generator)):
        values = ref.gradients(game["objective"], module, retain_graph=True)
        out |= named(f"pgn.gradient.{name}", module, values)
    return out


def natural_training(config):
    classifier, _, x, labels = draw(config)
    adam, ema = ref.Adam(classifier, config.lr), ref.Ema(classifier, config.ema_decay)
    losses = []
    for _ in range(STEPS):
        losses.append(ref.natural_step(classifier, adam, x, labels))
        ema.update()
    return {
        "natural.losses": torch.tensor(losses),
        **weights("natural.after.classifier", classifier),
        **named("natural.after.classifier_ema", classifier, ema.weights.values()),
    }


def pgn_training(config):
    classifier, generator, x, labels = draw(config)
    adam_f, adam_g = ref.Adam(classifier, config.lr), ref.Adam(generator, config.generator_lr)
    ema = ref.Ema(classifier, config.ema_decay)
    games = []
    for _ in range(STEPS):
        games.append(ref.pgn_step(classifier, generator, adam_f, adam_g, x, labels, config.c_l))
        ema.update()
    return {
        "pgn.cross_entropies": torch.stack([g["cross_entropy"] for g in games]),
        "pgn.penalties": torch.stack([g["penalty"] for g in games]),
        "pgn.objectives": torch.stack([g["objective"] for g in games]),
        "pgn.mean_delta_norms": torch.stack([g["delta_norms"].mean() for g in games]),
        **weights("pgn.after.classifier", classifier),
        **weights("pgn.after.generator", generator),
        **named("pgn.after.classifier_ema", classifier, ema.weights.values()),
    }


def tanh_penalty(config):
    """The penalty charges the generator's own output; the classifier's gradient is the one of `pgn.gradient`."""
    classifier, generator, x, labels = draw(config)
    game = ref.pgn_objective(classifier, generator, x, labels, config.c_l, penalty_space="tanh")
    return {
        "penalty_tanh.penalty": game["penalty"][None],
        "penalty_tanh.objective": game["objective"][None],
        **named("penalty_tanh.gradient.generator", generator, ref.gradients(game["objective"], generator)),
    }


def alternating_step(config):
    """The generator steps first (to the simultaneous step's own generator); the classifier meets a fresh x_adv."""
    classifier, generator, x, labels = draw(config)
    adam_f, adam_g = ref.Adam(classifier, config.lr), ref.Adam(generator, config.generator_lr)
    game = ref.pgn_step(classifier, generator, adam_f, adam_g, x, labels, config.c_l, alternating=True)
    return {
        "alternating.cross_entropy": game["cross_entropy"][None],
        "alternating.x_adv": game["x_adv"],
        **weights("alternating.after.classifier", classifier),
        **weights("alternating.after.generator", generator),
    }


def mixed_step(config):
    """Half adversarial, half clean cross-entropy for the classifier; the generator's gradient is unchanged."""
    classifier, generator, x, labels = draw(config)
    game = ref.pgn_objective(classifier, generator, x, labels, config.c_l)
    loss = ref.classifier_loss(game, classifier, x, labels, MIXED_ADV_COEFF)
    return {
        "adv_coeff.loss": loss[None],
        **named("adv_coeff.gradient.classifier", classifier, ref.gradients(loss, classifier)),
    }


def through_fgm(config):
    """Classifier gradient of the loss on FGM images, with and without the path through the attack."""
    classifier, _, x, labels = draw(config)
    out = {}
    for prefix, through in (("through_fgm", True), ("detached_fgm", False)):
        x_adv = ref.fgm(classifier, x, labels, THROUGH_EPSILON, through=through)
        x_adv = x_adv if through else x_adv.detach()
        loss = F.cross_entropy(classifier(x_adv), labels)
        out |= named(f"{prefix}.gradient.classifier", classifier, ref.gradients(loss, classifier))
    return out | {"through_fgm.x_adv": x_adv, "through_fgm.loss": loss[None]}


def through_pgn(config):
    """Classifier gradient of the game with the raw gradient image, with and without the path through it."""
    classifier, generator, x, labels = draw(config)
    out = {}
    for prefix, through in (("through_pgn", True), ("detached_pgn", False)):
        game = ref.pgn_objective(classifier, generator, x, labels, config.c_l, reading="raw", through=through)
        out |= named(f"{prefix}.gradient.classifier", classifier, ref.gradients(game["cross_entropy"], classifier))
    return out | {"through_pgn.x_adv": game["x_adv"], "through_pgn.loss": game["cross_entropy"][None]}


def golden(config):
    """All tensors of one configuration, by name."""
    classifier, generator, x, labels = draw(config)
    out = {"images": x, "labels": labels}
    out |= weights("classifier", classifier) | weights("generator", generator)
    out |= forward_values(classifier, x, labels)
    out |= game_values(config, classifier, generator, x, labels)
    out |= natural_training(config) | pgn_training(config)
    if config.variants:
        for variant in (tanh_penalty, alternating_step, mixed_step, through_fgm, through_pgn):
            out |= variant(config)
    return {name: tensor.detach().contiguous() for name, tensor in out.items()}


def check_reference():
    """The reference against what the method states in numbers and formulas."""
    def count(module):
        return sum(p.numel() for p in module.parameters())

    assert count(ref.Classifier(32, 3, 10, 1.0)) == 2_334_730
    assert count(ref.Generator(32, 3, 10, 1.0)) == 8_966_147
    x, w = torch.randn(1, 2, 4, 5), torch.randn(2, 3, 3, 3)
    for stride in (1, 2):
        written_out = torch.zeros(1, 3, 4 * stride, 5 * stride)
        for i, j, a, b in np.ndindex(4, 5, 3, 3):
            row, column = stride * i + a - 1, stride * j + b - 1
            if 0 <= row < 4 * stride and 0 <= column < 5 * stride:
                written_out[0, :, row, column] += torch.einsum("co,c->o", w[:, :, a, b], x[0, :, i, j])
        layer = F.conv_transpose2d(x, w, stride=stride, padding=1, output_padding=stride - 1)
        assert torch.allclose(layer, written_out)


def family(name):
    """Tensors that share a tolerance: the name without its layer."""
    layers = r"(\.convs\.\d+|\.fc\d|\.up\d)?\.(weight|bias)$"
    return re.sub(layers, "", name)


def smallest_preactivation(config):
    """The nearest that any pre-activation comes to zero while the golden values are computed."""
    smallest, leaky = [], ref.leaky

    def watched(x):
        smallest.append(x.detach().abs().min().item())
        return leaky(x)

    ref.leaky = watched
    golden(config)
    ref.leaky = leaky
    return min(smallest)


def compare_float32(config, expected):
    """Prints, per family, the largest float32 error, absolute and relative to its tensor's largest value."""
    torch.set_default_dtype(torch.float32)
    actual = golden(config)
    torch.set_default_dtype(torch.float64)
    worst = {}
    for name, value in expected.items():
        error = (actual[name].double() - value).abs().max().item()
        relative = error / max(value.abs().max().item(), 1e-30)
        absolute_seen, relative_seen = worst.get(family(name), (0.0, 0.0))
        worst[family(name)] = (max(absolute_seen, error), max(relative_seen, relative))
    print(f"{config.name}: smallest pre-activation {smallest_preactivation(config):.1e}")
    for name, (error, relative) in worst.items():
        print(f"  {name:36} absolute {error:7.1e}  relative {relative:7.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compare-float32", action="store_true")
    args = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    check_reference()
    for config in CONFIGURATIONS:
        tensors = golden(config)
        if args.compare_float32:
            compare_float32(config, tensors)
            continue
        path = pathlib.Path(__file__).with_name(f"{config.name}.safetensors")
        settings = asdict(config) | {"steps": STEPS, "gradient_input": "log"}
        if config.variants:
            settings |= {"through_epsilon": THROUGH_EPSILON, "adv_coeff": MIXED_ADV_COEFF}
        # One metadata entry: safetensors writes several in no fixed order, and the file's bytes should repeat.
        metadata = {"settings": json.dumps(settings)}
        save_file({name: t.to(torch.float32) for name, t in tensors.items()}, path, metadata=metadata)
        print(f"{path.name}: {len(tensors)} tensors, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
