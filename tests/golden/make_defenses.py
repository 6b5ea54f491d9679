"""Writes defenses.json beside this file: what PyTorch computes for five steps of each defense beside the paper's.

Everything is computed in float64. Weights, statistics, images, labels and random numbers follow from formulas that
`defenses.rs` has too, so the file holds results alone, tensors as digests (see `make_networks.py`).

The paper's network meets attacks in Linf, in which signs matter. A ResNet-18 with batch normalisation and softplus in
place of ReLU meets attacks in L2: whatever float32 rounds there stays small. `--compare-float32` prints how far float32
is from the results. `--search CASE` looks for a frequency of the images with which no rounding can turn a sign: no input
of leaky ReLU and no component of a gradient whose sign is taken comes near 0.
"""

import argparse
import json
import math
import pathlib
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

import make_networks as networks
import reference as ref

STEPS, BATCH, CLASSES, SEED = 5, 4, 5, 7
ITERATIONS, REPLAYS, BETA, LAMBDA = 4, 3, 6.0, 5.0
# On PGD far more than usual, so that weight decay at the wrong weights would show; on TRADES as usual.
AWP_ON_ATTACKED, AWP_ON_TRADES = 0.05, 0.005
EPSILON = {"linf": 8 / 255, "l2": 0.1}
# The paper's network ends with so much larger weights: its initial ones give nearly the same logits for all images.
LAST_GAIN = 16
SGD = {"lr": 0.002, "momentum": 0.9, "weight_decay": 0.05, "nesterov": True}
ATTACK_STREAM = 6
# Nearer to 0 than this, rounding may turn a sign: inputs of activations; gradients in units of their root mean square, of
# a cross-entropy, and of a divergence next to its minimum, where it is a small difference of large numbers.
NEAREST_INPUT, NEAREST_GRADIENT, NEAREST_DIVERGENCE = 4e-6, 3e-5, 1.2e-4


@dataclass
class Network:
    side: int
    channels: int
    width: float


NETWORKS = {"all-convolutional": Network(12, 1, 0.0625), "resnet18": Network(16, 3, 0.0625)}


@dataclass
class Case:
    defense: str
    norm: str
    network: str
    frequency: float
    awp: float = 0.0

    @property
    def name(self):
        return f"{self.network}.{self.norm}.{self.defense}{'.awp' if self.awp else ''}"


CASES = [
    Case("trades", "linf", "all-convolutional", 0.806),
    Case("mart", "linf", "all-convolutional", 0.382),
    Case("pgd", "linf", "all-convolutional", 0.325, AWP_ON_ATTACKED),
    Case("trades", "linf", "all-convolutional", 0.463, AWP_ON_TRADES),
    Case("fast", "linf", "all-convolutional", 0.318),
    Case("n-fgsm", "linf", "all-convolutional", 0.311),
    Case("free", "linf", "all-convolutional", 0.319),
    Case("trades", "l2", "resnet18", 0.300),
    Case("mart", "l2", "resnet18", 0.300),
    Case("pgd", "l2", "resnet18", 0.300, AWP_ON_ATTACKED),
    Case("trades", "l2", "resnet18", 0.300, AWP_ON_TRADES),
    Case("fast", "l2", "resnet18", 0.300),
    Case("n-fgsm", "l2", "resnet18", 0.300),
    Case("free", "l2", "resnet18", 0.300),
]
# Images on which the attacks of TRADES and MART are compared pixel by pixel. Their starts are so many times farther away,
# where the divergence is no small difference of large numbers.
GIVEN, GIVEN_NOISE = Case("", "", "all-convolutional", 0.730), 50.0


class Watch:
    """The nearest to 0 that anything came whose sign matters."""

    def __init__(self):
        self.input = self.gradient = self.divergence = math.inf

    def inputs(self, x):
        self.input = min(self.input, x.detach().abs().min().item())
        return x

    def signs(self, g, divergence):
        rms = g.flatten(1).pow(2).mean(1).sqrt().view(-1, 1, 1, 1)
        nearest = (g.abs() / rms).min().item()
        if divergence:
            self.divergence = min(self.divergence, nearest)
        else:
            self.gradient = min(self.gradient, nearest)

    def good(self):
        return (
            self.input > NEAREST_INPUT
            and self.gradient > NEAREST_GRADIENT
            and self.divergence > NEAREST_DIVERGENCE
        )


WATCH = Watch()
leaky = ref.leaky
ref.leaky = lambda x: leaky(WATCH.inputs(x))
networks.F.relu = F.softplus


def network(case):
    plan = NETWORKS[case.network]
    if case.network == "resnet18":
        networks.CHANNELS, networks.CLASSES, networks.WIDTH = plan.channels, CLASSES, plan.width
        return networks.with_known_values(networks.ResNet(preact=False))
    net = networks.with_known_values(ref.Classifier(plan.side, plan.channels, CLASSES, plan.width))
    with torch.no_grad():
        net.convs[-1].weight *= LAST_GAIN
    return net


def data(case, step):
    """The batch of a step: the same images and labels, moved on by one place every step."""
    plan = NETWORKS[case.network]
    shape = (BATCH, plan.side, plan.side, plan.channels)
    i = torch.arange(math.prod(shape), dtype=torch.float64)
    images = (0.5 + 0.45 * torch.sin(case.frequency * i)).float().double().reshape(shape)
    labels = torch.tensor([7 * n % CLASSES for n in range(BATCH)])
    return images.permute(0, 3, 1, 2).roll(step, 0).contiguous(), labels.roll(step, 0)


def noise(case, step):
    """Normal numbers of the attack's stream, as src/random.rs draws them, in the order of images with channels last."""
    plan = NETWORKS[case.network]
    shape = (BATCH, plan.side, plan.side, plan.channels)
    minor = np.arange(math.prod(shape), dtype=np.uint32)
    full = lambda value: np.full(minor.shape, value, dtype=np.uint32)
    key = ATTACK_STREAM * 0x9E3779B9 & 0xFFFFFFFF
    a, b = networks.pcg4d([full(SEED), full(key), full(step), minor])
    unit = lambda bits: ((bits >> np.uint32(8)).astype(np.float64) + 0.5) / 16777216.0
    normal = np.sqrt(-2 * np.log(unit(a))) * np.cos(2 * math.pi * unit(b))
    return torch.from_numpy(normal).reshape(shape).permute(0, 3, 1, 2).contiguous()


def lengths(x):
    return x.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


def direction(g, norm, divergence=False):
    if norm == "l2":
        return g / lengths(g)
    WATCH.signs(g, divergence)
    return g.sign()


def into_ball(delta, epsilon, norm):
    if norm == "linf":
        return delta.clamp(-epsilon, epsilon)
    return delta * (epsilon / lengths(delta)).clamp(max=1)


def by_image(loss, x):
    """The gradient of a loss, a sum over images, by the images."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad(loss(x), x)[0]


def cross_entropy(net, labels):
    return lambda x: F.cross_entropy(net(x), labels, reduction="sum")


def pgd(net, x, labels, epsilon, norm):
    moved = x
    for _ in range(ITERATIONS):
        g = by_image(cross_entropy(net, labels), moved)
        moved = moved + 2.5 * epsilon / ITERATIONS * direction(g, norm)
        moved = (x + into_ball(moved - x, epsilon, norm)).clamp(0, 1)
    return moved


def near_pgd(net, x, labels, start, epsilon, norm, divergence):
    """The attacks of TRADES and MART: from x + 0.001 noise; after a step the box, then the ball."""
    length = (2.5 if norm == "linf" else 2.0) * epsilon / ITERATIONS
    clean = net(x).detach().softmax(dim=1)
    kl = lambda moved: F.kl_div(net(moved).log_softmax(dim=1), clean, reduction="sum")
    moved = x + 0.001 * start
    for _ in range(ITERATIONS):
        g = by_image(kl if divergence else cross_entropy(net, labels), moved)
        moved = (moved + length * direction(g, norm, divergence)).clamp(0, 1)
        moved = (x + into_ball(moved - x, epsilon, norm)).clamp(0, 1)
    return moved


def noisy_step(net, x, labels, start, epsilon, norm, radius, length, projects):
    if norm == "linf":
        offset = radius * epsilon * torch.erf(start / math.sqrt(2))
    else:
        # The length is uniform from 0 to the radius: the norm of d normal numbers is normal but for 1/d.
        share = 0.5 + 0.5 * torch.erf(lengths(start) - math.sqrt(start[0].numel() - 0.5))
        offset = radius * epsilon * share * start / lengths(start)
    moved = (x + offset).clamp(0, 1)
    g = by_image(cross_entropy(net, labels), moved)
    moved = moved + length * epsilon * direction(g, norm)
    if projects:
        moved = x + into_ball(moved - x, epsilon, norm)
    return moved.clamp(0, 1)


def attacked(case, net, x, labels, start):
    """The images that a defense trains on, made in evaluation mode."""
    net.eval()
    epsilon, norm = EPSILON[case.norm], case.norm
    if case.defense == "pgd":
        moved = pgd(net, x, labels, epsilon, norm)
    elif case.defense in ("trades", "mart"):
        moved = near_pgd(net, x, labels, start, epsilon, norm, case.defense == "trades")
    elif case.defense == "fast":
        moved = noisy_step(net, x, labels, start, epsilon, norm, 1.0, 1.25, True)
    else:
        moved = noisy_step(net, x, labels, start, epsilon, norm, 2.0, 1.0, False)
    net.train()
    return moved.detach()


def trades_loss(clean, moved, labels):
    kl = F.kl_div(moved.log_softmax(dim=1), clean.softmax(dim=1), reduction="batchmean")
    return F.cross_entropy(clean, labels) + BETA * kl


def mart_loss(clean, moved, labels):
    p, q = clean.softmax(dim=1), moved.softmax(dim=1)
    own = F.one_hot(labels, p.shape[1]).bool()
    boosted = -q[own].log() - (1 - q.masked_fill(own, 0).max(dim=1).values).log()
    kl = (p * (p.log() - q.log())).sum(dim=1)
    return (boosted + LAMBDA * kl * (1 - p[own])).mean()


def objective(case, net, x, moved, labels):
    """What the classifier descends, and the cross-entropy of the attacked images."""
    if case.defense in ("trades", "mart"):
        clean, logits = net(x), net(moved)
        loss = trades_loss if case.defense == "trades" else mart_loss
        return loss(clean, logits, labels), F.cross_entropy(logits, labels)
    loss = F.cross_entropy(net(moved), labels)
    return loss, loss


def gradients(case, net, x, moved, labels):
    """Gradients by the weights, with the weights moved up first if the case says so; and the reported loss."""
    weights = list(net.parameters())
    saved = [w.detach().clone() for w in weights]
    if case.awp:
        up = lambda: torch.autograd.grad(objective(case, net, x, moved, labels)[0], weights)
        with torch.no_grad():
            for w, g in zip(weights, networks.keeping_statistics(net, torch.enable_grad()(up))):
                if w.dim() > 1:
                    w += case.awp * w.norm() / g.norm() * g
    loss, reported = objective(case, net, x, moved, labels)
    found = torch.autograd.grad(loss, weights)
    with torch.no_grad():
        for w, own in zip(weights, saved):
            w.copy_(own)
    return found, reported.item()


def learn(net, optimiser, found):
    for w, g in zip(net.parameters(), found):
        w.grad = g
    optimiser.step()


def free_step(case, net, optimiser, x, labels, delta):
    """Updates of one batch; returns the perturbation after them and the loss before the last."""
    epsilon = EPSILON[case.norm]
    for _ in range(REPLAYS):
        moved = (x + delta).requires_grad_()
        loss = F.cross_entropy(net(moved.clamp(0, 1)), labels)
        *found, g = torch.autograd.grad(loss, [*net.parameters(), moved])
        learn(net, optimiser, found)
        delta = into_ball(delta + epsilon * direction(g, case.norm), epsilon, case.norm)
    return delta, loss.item()


def channels_last(x):
    return x.permute(0, 2, 3, 1)


def run(case, dtype=torch.float64):
    """Five steps of a case, as digests."""
    net = network(case).to(dtype).train()
    start = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimiser = torch.optim.SGD(net.parameters(), **SGD)
    losses, delta = [], torch.zeros(1, dtype=dtype)
    for step in range(STEPS):
        x, labels = data(case, step)
        x, random = x.to(dtype), noise(case, step).to(dtype)
        if case.defense == "free":
            delta, loss = free_step(case, net, optimiser, x, labels, delta)
        else:
            moved = attacked(case, net, x, labels, random)
            found, loss = gradients(case, net, x, moved, labels)
            learn(net, optimiser, found)
        losses.append(loss)
    way = {name: networks.digest(p - start[name]) for name, p in net.named_parameters()}
    out = {"losses": losses, "way": way, "statistics": networks.buffers(net)}
    if case.defense == "free":
        out["perturbation"] = networks.digest(channels_last(delta))
    return out


def given_logits():
    """Logits, labels, and what the objectives are at them."""
    i = torch.arange(6 * 5, dtype=torch.float64)
    clean = (3 * torch.sin(0.7 * i)).float().double().reshape(6, 5)
    moved = (4 * torch.sin(1.3 * i + 1)).float().double().reshape(6, 5)
    labels = torch.tensor([n % 5 for n in range(6)])
    out = {}
    for name, loss in (("trades", trades_loss), ("mart", mart_loss)):
        leaves = [clean.clone().requires_grad_(), moved.clone().requires_grad_()]
        value = loss(*leaves, labels)
        by_clean, by_moved = torch.autograd.grad(value, leaves)
        out[name] = {
            "loss": [value.item()],
            "by_clean": networks.values(by_clean),
            "by_attacked": networks.values(by_moved),
        }
    return out


def given_images():
    """The images that the attacks of TRADES and MART make of known ones, one list of pixels for each."""
    out, net = {}, network(GIVEN).eval()
    (x, labels), start = data(GIVEN, 0), GIVEN_NOISE * noise(GIVEN, 0)
    for name in ("trades", "mart"):
        for norm, epsilon in EPSILON.items():
            moved = near_pgd(net, x, labels, start, epsilon, norm, name == "trades")
            out[f"{name}.{norm}"] = networks.values(channels_last(moved))
    return out


def difference(exact, rounded):
    """The largest difference of a digest's norm or values, in units of the norm, none counting as smaller than a hundredth
    of the largest."""
    largest = max(digest[0] for digest in exact.values())
    pairs = [(own, rounded[name]) for name, own in exact.items()]
    part = lambda digest: digest[:1] + digest[3:]
    worst = lambda a, b: max(abs(x - y) for x, y in zip(part(a), part(b))) / max(a[0], largest / 100)
    return max(worst(a, b) for a, b in pairs)


def compare_float32():
    for case in CASES:
        exact, rounded = run(case), run(case, torch.float32)
        losses = max(abs(a - b) for a, b in zip(exact["losses"], rounded["losses"]))
        way, statistics = (difference(exact[part], rounded[part]) if exact[part] else 0.0 for part in ("way", "statistics"))
        print(f"{case.name:38} losses {losses:.1e}, way {way:.1e}, statistics {statistics:.1e}")


def search(name):
    case = next(case for case in CASES if case.name == name)
    for trial in range(2000):
        case.frequency = round(0.300 + 0.001 * trial, 3)
        WATCH.__init__()
        run(case)
        if WATCH.good():
            print(f"{name}: {case.frequency:.3f} ({WATCH.input:.1e}, {WATCH.gradient:.1e}, {WATCH.divergence:.1e})")
            return


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compare-float32", action="store_true")
    parser.add_argument("--search")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.compare_float32:
        return compare_float32()
    if args.search:
        return search(args.search)
    result = {"logits": given_logits(), "images": given_images()}
    assert WATCH.good(), "the given images: rounding may turn a sign; search another frequency"
    for case in CASES:
        WATCH.__init__()
        result[case.name] = {"frequency": case.frequency} | run(case)
        assert WATCH.good(), f"{case.name}: rounding may turn a sign; search another frequency"
    path = pathlib.Path(__file__).with_name("defenses.json")
    path.write_text(json.dumps(result, indent=0) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
