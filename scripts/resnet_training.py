#!/usr/bin/env python3
"""ResNet-18 trained on CIFAR-10 by the program and by PyTorch on the CPU, from the same initial weights.

    scripts/resnet_training.py --data DIR [--test DIR ...] [--seeds 0 1 2] [--parts smooth steps epochs]

PyTorch draws the initial weights and writes them as a state dict, from which the program starts (`train --from`). Both
must give the same logits before the first step. Both then train naturally: cross-entropy, batches of 128, SGD with
Nesterov's momentum 0.9 (the program's default), weight decay 5e-4 of all weights, PyTorch's OneCycleLR up to 0.1. The
network in PyTorch is that of tests/golden/make_networks.py; optimiser, schedule and batch normalisation are PyTorch's own.

The parts `smooth` and `steps` are the beginning of that run: 20 steps on the images in the order of the files, without
augmentation. Losses are compared step by step with PyTorch's in float64. PyTorch's in float32 stand beside them.

- `smooth` has SiLU in place of every ReLU. The program reads the network from ONNX, and each program goes its own way.
- `steps` has the ReLU. Rounding gives a few values before a ReLU another sign, and with it another gradient. Losses then
  drift apart: PyTorch's own in float32 leave those in float64 by more than LOSS before step 20. So going one's own way
  judges nothing here. It prints for how many steps losses keep to LOSS. What judges is each step alone: PyTorch first takes
  over the program's weights, statistics and averages, and keeps its own momentum. Where the step ends is compared as well,
  relative to the way of the step in float64. PyTorch's step in float32 shows what rounding does to it.

The part `epochs` is the whole run, once per seed, each program with its own random numbers: flips, crops of the
reflect-padded image, another order in every epoch. The accuracy is that of the moving averages of weights and statistics
(decay min(0.99, (1 + t) / (10 + t))), which the program's commands use; the accuracy of the live weights stands beside it.
The exit code is 1

- if initial logits differ by more than LOGITS, in units of the largest;
- if a loss differs by more than LOSS: of `smooth`, or of `steps` from the same numbers;
- if the program ends farther off than WAY times PyTorch in float32, in root mean square over the steps;
- if mean accuracies over the seeds differ by more than two standard errors of the difference between two accuracies. That
  standard error is about the choice of test images. It leaves out what differs from seed to seed.

The first call makes a virtual environment in target/exports-venv, as scripts/onnx_exports.py does.
"""

import argparse
import json
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time
import warnings

import environment
from onnx_exports import PACKAGES, VENV

ROOT = pathlib.Path(__file__).resolve().parents[1]
MODULES = ["torch", "numpy", "safetensors", "onnx"]

PARTS = ["smooth", "steps", "epochs"]
BATCH, RATE, MOMENTUM, WEIGHT_DECAY, AVERAGE = 128, 0.1, 0.9, 5e-4, 0.99
# Rounding of float32 through twenty layers, in units of the largest logit.
LOGITS = 1e-4
LOSS = 1e-3
# The program and PyTorch in float32 round differently, but nothing is known that would make either round worse.
WAY = 2


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of CIFAR-10's binary files")
    parser.add_argument("--test", nargs="+", help="folders whose test_batch.bin judges; --data by default")
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20, help="of the parts `smooth` and `steps`")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--threads", type=int, default=1, help="threads of either program")
    parser.add_argument("--adapter", default="cpu", help="where ours computes")
    parser.add_argument("--binary", default=str(ROOT / "target" / "release" / "pgn-wgpu"))
    parser.add_argument("--out", default=str(ROOT / "target"), help="gets a folder resnet-training of weights and runs")
    return parser.parse_args()


# PyTorch's side.

def network(width, kind):
    """The ResNet-18 of the golden values."""
    import make_networks as networks
    import torch

    # The file makes float64 the default, for its own sake.
    torch.set_default_dtype(torch.float32)
    networks.WIDTH, networks.CHANNELS, networks.CLASSES = width, 3, 10
    return networks.ResNet(preact=False).to(kind)


def initial_weights(args, seed):
    """A state dict by He et al. 2015, as the program starts anew: normal, variance 2 / fan-in; 1 / fan-in for the last layer."""
    import torch

    torch.manual_seed(seed)
    net = network(args.width, torch.float32)
    for module in net.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            gain = 2 if isinstance(module, torch.nn.Conv2d) else 1
            torch.nn.init.normal_(module.weight, std=math.sqrt(gain / module.weight[0].numel()))
    torch.nn.init.zeros_(net.linear.bias)
    return net.state_dict()


def numbers(state):
    """The tensors of a state dict that training moves."""
    return {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}


class Training:
    """A run in PyTorch, with the moving averages that the program keeps."""

    def __init__(self, args, state, images, kind):
        import torch

        self.net = network(args.width, kind)
        self.net.load_state_dict(state)
        self.kind, self.done = kind, 0
        self.optimiser = torch.optim.SGD(self.net.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY,
                                         nesterov=True)
        steps = args.epochs * math.ceil(images / BATCH)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimiser, RATE, total_steps=steps, cycle_momentum=False)
        self.average = {name: tensor.clone() for name, tensor in numbers(self.net.state_dict()).items()}

    def step(self, images, labels):
        """The loss before the step."""
        import torch.nn.functional as F

        loss = F.cross_entropy(self.net.train()(images.to(self.kind)), labels)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.schedule.step()
        self.done += 1
        decay = min(AVERAGE, (1 + self.done) / (10 + self.done))
        for name, tensor in numbers(self.net.state_dict()).items():
            self.average[name].lerp_(tensor, 1 - decay)
        return loss.item()

    def load(self, states):
        """Puts other numbers, live and averaged, in place of its own; its momentum stays."""
        self.net.load_state_dict(states["live"], strict=False)
        self.average = {name: tensor.to(self.kind, copy=True) for name, tensor in states["averaged"].items()}

    def states(self):
        """The live numbers and their averages, in float64."""
        live = numbers(self.net.state_dict())
        return {"live": doubles(live), "averaged": doubles(self.average)}


def doubles(state):
    return {name: tensor.detach().double().clone() for name, tensor in state.items()}


def logits_of(args, state, images):
    """Logits that PyTorch computes in evaluation."""
    import torch

    net = network(args.width, torch.float32)
    net.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=False)
    with torch.no_grad():
        return torch.cat([net.eval()(part) for part in images.split(500)])


# The program's side.

def call(args, *options):
    command = [args.binary, *map(str, options), "--quiet", "--adapter", args.adapter]
    done = subprocess.run(command, capture_output=True, text=True,
                          env={**os.environ, "RAYON_NUM_THREADS": str(args.threads)})
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr.strip()}")


def train(args, start, run, *options):
    """A run of the program from the weights in the file `start`."""
    shutil.rmtree(run, ignore_errors=True)
    call(args, "train", "--method", "natural", "--dataset", "cifar10", "--data", args.data, "--validation-share", 0,
         "--from", start, "--out", run, "--epochs", args.epochs, "--batch-size", BATCH, "--optimiser", "sgd", "--lr", RATE,
         "--momentum", MOMENTUM, "--nesterov", "true", "--weight-decay", WEIGHT_DECAY, "--schedule", "one-cycle",
         "--ema-decay", AVERAGE, *options)


def predicted(args, model, images, folder):
    """The logits of the program."""
    import numpy as np
    import torch

    files = folder / "images.npy", folder / "logits.npy"
    np.save(files[0], (images * 255).round().to(torch.uint8).numpy())
    files[1].unlink(missing_ok=True)
    call(args, "predict", model, "--images", files[0], "--save", files[1])
    return torch.from_numpy(np.load(files[1]))


def losses_of(run):
    with open(run / "metrics.jsonl") as file:
        records = [json.loads(line) for line in file]
    return [record["loss"] for record in records if record["kind"] == "step"]


def states_of(run):
    """The live numbers of a run and their averages, in float64."""
    from safetensors.torch import load_file

    tensors = load_file(run / "model.safetensors")

    def part(prefix):
        return {name[len(prefix):]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return {"live": doubles(part("classifier.")), "averaged": doubles(part("classifier_ema."))}


# The comparison.

def prepare(args, seed, folder, images):
    """The initial weights, their file, and a sentence if the programs do not agree on their logits."""
    from safetensors.torch import save_file

    state, start = initial_weights(args, seed), folder / f"initial-{seed}.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, start)
    own, theirs = predicted(args, start, images[:100], folder), logits_of(args, state, images[:100])
    apart = ((own - theirs).abs().max() / theirs.abs().max()).item()
    print(f"resnet_training: seed {seed}, initial logits differ by {apart:.1e} of the largest", file=sys.stderr, flush=True)
    problem = f"seed {seed}: initial logits differ by {apart:.1e} of the largest"
    return state, start, [problem] if not apart <= LOGITS else []


class Smooth:
    """torch.nn.functional with SiLU in place of ReLU."""

    def __getattr__(self, name):
        import torch.nn.functional as F

        return F.silu if name == "relu" else getattr(F, name)


def exported(args, path):
    """The initial weights of a network without kinks, which is written to an ONNX file with its normalisations."""
    import torch

    state = initial_weights(args, args.seeds[0])
    for tensor in numbers(state).values():
        # The exporter writes equal tensors once, and they would be one weight in the program.
        if tensor.dim() == 1:
            tensor.add_(0.01 * torch.rand(tensor.shape))
    net = network(args.width, torch.float32)
    net.load_state_dict(state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net.eval(), (torch.rand(1, 3, 32, 32),), str(path), dynamo=False, opset_version=18,
                          do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE, input_names=["image"],
                          output_names=["logits"], dynamic_axes={"image": {0: "n"}, "logits": {0: "n"}})
    return state


def batch_of(train_set, step):
    """The images and labels of a step, in the order of the files."""
    at = step % math.ceil(len(train_set[1]) / BATCH) * BATCH
    return [tensor[at:at + BATCH] for tensor in train_set]


def compare_smooth(args, folder, train_set):
    """A row for each of the first steps of a network without kinks, each program on its own way."""
    import make_networks as networks
    import torch

    functions, networks.F = networks.F, Smooth()
    start, run = folder / "smooth.onnx", folder / "smooth"
    state = exported(args, start)
    train(args, start, run, "--max-steps", args.steps, "--no-augment", "--no-shuffle")
    apart = [Training(args, state, len(train_set[1]), kind) for kind in (torch.float64, torch.float32)]
    print("\nSiLU\n\n| step | loss, ours | ours, apart | float32, apart |\n| --- | --- | --- | --- |")
    worst, losses = 0, losses_of(run)
    for step, own in enumerate(losses):
        exact, rounded = (training.step(*batch_of(train_set, step)) for training in apart)
        print(f"| {step + 1} | {own:.6f} | {own - exact:+.1e} | {rounded - exact:+.1e} |", flush=True)
        worst = max(worst, abs(own - exact)) if math.isfinite(own - exact) else math.inf
    networks.F = functions
    good = worst <= LOSS and len(losses) == args.steps
    return [] if good else [f"SiLU: of {len(losses)} steps the losses differ by up to {worst:.1e}"]


def steps_of_ours(args, start, run, count):
    """The losses of the program's first steps, and all its numbers before and after each of them."""
    train(args, start, run, "--max-steps", 1, "--no-augment", "--no-shuffle")
    states = [states_of(run)]
    for step in range(2, count + 1):
        call(args, "train", "--resume", run, "--max-steps", step)
        states.append(states_of(run))
    losses = losses_of(run)
    if len(losses) != count:
        raise SystemExit(f"{run}/metrics.jsonl has {len(losses)} steps, not {count}")
    return losses, states


def way_apart(before, after, reference):
    """How far `after` is from `reference`, relative to the way from `before`: the larger of weights and statistics."""
    def length(running, a, b):
        return math.sqrt(sum((a[name] - b[name]).square().sum().item() for name in b if ("running" in name) == running))
    ways = [length(kind, after, reference) / length(kind, before, reference) for kind in (False, True)]
    # `max` may pass over NaN.
    return max(ways) if all(map(math.isfinite, ways)) else math.inf


def follow(training, before, after, batch):
    """PyTorch's step from the program's numbers `before`: its loss, and how far it ends from `after`, live and averaged."""
    training.load(before)
    loss, end = training.step(*batch), training.states()
    return loss, [way_apart(before[which], after[which], end[which]) for which in end]


def compare_steps(args, folder, train_set):
    """A row for each of the first steps, and sentences about what misses its promise."""
    import torch

    images = train_set[0]
    state, start, problems = prepare(args, args.seeds[0], folder, images)
    losses, states = steps_of_ours(args, start, folder / "steps", args.steps)
    before = {which: doubles(numbers(state)) for which in states[0]}
    kinds = torch.float64, torch.float32
    apart, beside = ([Training(args, state, len(images), kind) for kind in kinds] for _ in range(2))
    print(STEPS)
    offs = []
    for step, (own, after) in enumerate(zip(losses, states)):
        batch = batch_of(train_set, step)
        exact, rounded = (training.step(*batch) for training in apart)
        (loss, ways), (loss32, _) = (follow(training, before, after, batch) for training in beside)
        rounding = [way_apart(before[which], beside[1].states()[which], beside[0].states()[which]) for which in after]
        print(f"| {step + 1} | {own:.6f} | {own - exact:+.1e} | {rounded - exact:+.1e} | {own - loss:+.1e} "
              f"| {loss32 - loss:+.1e} | {ways[0]:.1e} | {rounding[0]:.1e} | {ways[1]:.1e} | {rounding[1]:.1e} |", flush=True)
        offs.append([abs(own - exact), abs(rounded - exact), abs(own - loss), *ways, *rounding])
        before = after
    return problems + judge_steps(offs)


STEPS = """
ReLU; the first differences are apart, the others from the same numbers

| step | loss, ours | ours, apart | float32, apart | ours | float32 | way, ours | float32 | averaged, ours | float32 |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"""


def judge_steps(offs):
    """Sentences about what is too far off. Each step has three absolute differences of losses, and four ways apart."""
    def kept(column):
        return next((step for step, off in enumerate(offs) if not off[column] <= LOSS), len(offs))
    print(f"\napart, losses keep to {LOSS:g} for {kept(0)} steps of {len(offs)}, and PyTorch's in float32 for {kept(1)}")
    problems, first = [], kept(2)
    if first < len(offs):
        problems.append(f"from the same numbers, the loss of step {first + 1} differs by {offs[first][2]:.1e}")
    for which, column in [("live", 3), ("averaged", 4)]:
        ours, rounding = (math.sqrt(statistics.mean(off[at] ** 2 for off in offs)) for at in (column, column + 2))
        said = f"from the same numbers, {which} ones end {ours:.1e} of the way elsewhere, PyTorch's in float32 {rounding:.1e}"
        print(said)
        problems += [said] if not ours <= WAY * rounding else []
    return problems


def train_theirs(args, seed, state, train_set):
    """The whole run in PyTorch."""
    import torch
    from train_reference import augment

    images, labels = train_set
    training, torch_seed = Training(args, state, len(images), torch.float32), 1000 + seed
    torch.manual_seed(torch_seed)
    for epoch in range(args.epochs):
        losses = [training.step(augment(images[rows]), labels[rows]) for rows in torch.randperm(len(images)).split(BATCH)]
        print(f"resnet_training: seed {seed}, PyTorch, epoch {epoch + 1}, loss {statistics.mean(losses):.4f}",
              file=sys.stderr, flush=True)
    return training.states()


def accuracy(logits, labels):
    return (logits.argmax(1) == labels).double().mean().item()


def compare_epochs(args, folder, train_set, tests):
    """Accuracies of whole runs, one row per seed and test set."""
    from safetensors.torch import save_file

    problems, found = [], {name: ([], []) for name in tests}
    print("\n| seed | test images | accuracy, ours | PyTorch | live weights, ours | PyTorch | seconds, ours | PyTorch |"
          "\n| --- | --- | --- | --- | --- | --- | --- | --- |")
    for seed in args.seeds:
        state, start, wrong = prepare(args, seed, folder, train_set[0])
        problems += wrong
        run, began = folder / f"run-{seed}", time.time()
        train(args, start, run, "--augment", "flip-and-crop", "--seed", seed)
        between = time.time()
        theirs = train_theirs(args, seed, state, train_set)
        seconds = between - began, time.time() - between
        save_file(theirs["averaged"], folder / f"pytorch-{seed}.safetensors")
        for name, (images, labels) in tests.items():
            pair = (accuracy(predicted(args, run, images, folder), labels),
                    accuracy(logits_of(args, theirs["averaged"], images), labels))
            live = [accuracy(logits_of(args, states["live"], images), labels) for states in (states_of(run), theirs)]
            for list_of, value in zip(found[name], pair):
                list_of.append(value)
            print(f"| {seed} | {len(labels)} | {pair[0]:.4f} | {pair[1]:.4f} | {live[0]:.4f} | {live[1]:.4f} "
                  f"| {seconds[0]:.0f} | {seconds[1]:.0f} |", flush=True)
    for name, pairs in found.items():
        problems += judge(len(tests[name][1]), *pairs)
    return problems


def judge(count, ours, theirs):
    """Whether the mean accuracies agree on `count` test images."""
    means = statistics.mean(ours), statistics.mean(theirs)
    error = math.sqrt(sum(mean * (1 - mean) / count for mean in means))
    difference = means[0] - means[1]
    print(f"{count} test images: means {means[0]:.4f} and {means[1]:.4f}, difference {difference:+.4f}, "
          f"{abs(difference) / error:.1f} standard errors of {error:.4f}")
    return [f"{count} test images: accuracies differ by {difference:+.4f}"] if not abs(difference) <= 2 * error else []


def main():
    args = arguments()
    environment.go_on_within(VENV, PACKAGES, MODULES)
    sys.path.insert(0, str(ROOT / "tests" / "golden"))
    import torch
    from train_reference import read_cifar10

    torch.set_num_threads(args.threads)
    # A folder in --out, which is the user's: runs of earlier calls are removed from it.
    folder = pathlib.Path(args.out) / "resnet-training"
    folder.mkdir(parents=True, exist_ok=True)
    train_set = read_cifar10(args.data, "data_batch_*.bin")
    tests = {name: read_cifar10(name, "test_batch.bin") for name in args.test or [args.data]}
    print(f"resnet18 of width {args.width}, {len(train_set[1])} training images, PyTorch {torch.__version__}, "
          f"{args.threads} threads, adapter {args.adapter}", flush=True)
    problems = compare_smooth(args, folder, train_set) if "smooth" in args.parts else []
    problems += compare_steps(args, folder, train_set) if "steps" in args.parts else []
    problems += compare_epochs(args, folder, train_set, tests) if "epochs" in args.parts else []
    print("\ntraining agrees" if not problems else "\ntraining does not agree:\n- " + "\n- ".join(problems))
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
