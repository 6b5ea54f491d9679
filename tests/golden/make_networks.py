"""Writes networks.json beside this file: what PyTorch computes for two networks with batch normalisation.

Everything is computed in float64. Weights, statistics, images and labels follow from formulas that `networks.rs` has too,
so the file holds results alone. Of a tensor it holds a digest: the L2 norm, the sum, the sum of v_i cos(i) over the
flattened tensor in PyTorch's order, and the first four values.
"""

import json
import math
import pathlib

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import reference as ref

SIDE, CHANNELS, CLASSES, BATCH, WIDTH, SEED = 16, 3, 5, 4, 0.125, 7
EPSILON = 0.5
# Was chosen so that no input of a ReLU comes nearer to 0 than 3e-6 in anything below: nearer ones may have another sign in
# float32, and with it another gradient. The script does not check it again.
FREQUENCY = 0.300
SGD = {"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}
ADAM_LR = 2e-3
STAGES = [(64, 1), (128, 2), (256, 2), (512, 2)]

torch.set_default_dtype(torch.float64)


def scaled(channels):
    return max(1, round(channels * WIDTH))


class BasicBlock(nn.Module):
    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class PreActBlock(nn.Module):
    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.shortcut = None
        if stride != 1 or inputs != channels:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, channels, 1, stride, bias=False))

    def forward(self, x):
        seen = F.relu(self.bn1(x))
        beside = x if self.shortcut is None else self.shortcut(seen)
        return self.conv2(F.relu(self.bn2(self.conv1(seen)))) + beside


class ResNet(nn.Module):
    def __init__(self, preact):
        super().__init__()
        channels = scaled(STAGES[0][0])
        self.conv1 = nn.Conv2d(CHANNELS, channels, 3, 1, 1, bias=False)
        self.bn1 = None if preact else nn.BatchNorm2d(channels)
        for stage, (outputs, stride) in enumerate(STAGES):
            block = PreActBlock if preact else BasicBlock
            first = block(channels, scaled(outputs), stride)
            channels = scaled(outputs)
            setattr(self, f"layer{stage + 1}", nn.Sequential(first, block(channels, channels, 1)))
        self.linear = nn.Linear(channels, CLASSES)

    def forward(self, x):
        x = self.conv1(x)
        if self.bn1 is not None:
            x = F.relu(self.bn1(x))
        for stage in range(len(STAGES)):
            x = getattr(self, f"layer{stage + 1}")(x)
        return self.linear(x.mean(dim=(2, 3)))


def pcg4d(v):
    """The counter-based generator of src/random.rs, over arrays of 32-bit integers."""
    x, y, z, w = (np.asarray(e, dtype=np.uint32) * np.uint32(1664525) + np.uint32(1013904223) for e in v)
    x = x + y * w
    y = y + z * x
    z = z + x * y
    w = w + y * z
    x, y, z, w = (e ^ (e >> np.uint32(16)) for e in (x, y, z, w))
    x = x + y * w
    y = y + z * x
    return x, y


def normals(major, count):
    """Standard normal numbers of the classifier's stream, as src/random.rs draws them."""
    minor = np.arange(count, dtype=np.uint32)
    full = lambda value: np.full(count, value, dtype=np.uint32)
    key = 1 * 0x9E3779B9 & 0xFFFFFFFF
    a, b = pcg4d([full(SEED), full(key), full(major), minor])
    unit = lambda bits: np.minimum(
        ((bits >> np.uint32(8)).astype(np.float32) + np.float32(0.5)) / np.float32(16777216.0),
        np.float32(1.0 - 2.0**-24),
    ).astype(np.float64)
    return (np.sqrt(-2 * np.log(unit(a))) * np.cos(2 * math.pi * unit(b))).astype(np.float32)


def with_known_values(net):
    """He's initial weights of seed 7, and batch normalisations with statistics that are not 0 and 1."""
    drawn = 0
    with torch.no_grad():
        for name, p in list(net.named_parameters()) + list(net.named_buffers()):
            if p.dim() >= 2:
                shape = list(p.shape)
                height, width = (shape[2:] + [1, 1])[:2]
                fan_in = np.float32(shape[1] * height * width)
                gain = np.float32(math.sqrt(0.5)) if name == "linear.weight" else np.float32(1)
                values = np.float32(np.sqrt(np.float32(2) / fan_in)) * normals(drawn, p.numel()) * gain
                drawn += 1
                memory = torch.tensor(values.reshape(height, width, shape[1], shape[0]).astype(np.float64))
                p.copy_(memory.permute(3, 2, 0, 1).reshape(p.shape))
            elif p.dim() == 1:
                c = torch.arange(p.numel(), dtype=torch.float64)
                known = {
                    "weight": 1 + 0.3 * torch.sin(c + 1),
                    "bias": 0.2 * torch.cos(2 * c),
                    "running_mean": 0.1 * torch.sin(3 * c),
                    "running_var": 1 + 0.4 * torch.cos(c) ** 2,
                }[name.rsplit(".", 1)[1]]
                p.copy_(known.float().double())
    return net


def data():
    i = torch.arange(BATCH * SIDE * SIDE * CHANNELS, dtype=torch.float64)
    images = (0.5 + 0.45 * torch.sin(FREQUENCY * i)).float().double().reshape(BATCH, SIDE, SIDE, CHANNELS)
    return images.permute(0, 3, 1, 2).contiguous(), torch.tensor([7 * n % CLASSES for n in range(BATCH)])


def digest(tensor):
    v = tensor.detach().flatten()
    i = torch.arange(v.numel(), dtype=torch.float64)
    numbers = [v.norm(), v.sum(), (v * torch.cos(i)).sum(), *v[:4]]
    return [float(f"{float(n):.9e}") for n in numbers]


def parameters(net):
    return {name: digest(p) for name, p in net.named_parameters()}


def buffers(net):
    return {name: digest(b) for name, b in net.named_buffers() if b.dim() > 0}


def values(tensor):
    return [float(f"{float(v):.9e}") for v in tensor.detach().flatten()]


def gradients(net, loss):
    found = torch.autograd.grad(loss, list(net.parameters()))
    return {name: digest(g) for (name, _), g in zip(net.named_parameters(), found)}


def keeping_statistics(net, work):
    """Runs `work` and puts all buffers back, as new tensors: autograd may still need the old ones."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    saved = [(module.running_mean.clone(), module.running_var.clone()) for module in norms]
    result = work()
    for module, (mean, variance) in zip(norms, saved):
        module.running_mean, module.running_var = mean, variance
    return result


def attacked(net, x, labels, mode, through):
    net.train(mode == "train")
    moved = keeping_statistics(net, lambda: ref.fgm(net, x, labels, EPSILON, through))
    net.train()
    return moved if through else moved.detach()


def describe(preact):
    x, labels = data()
    fresh = lambda: with_known_values(ResNet(preact))
    net = fresh()
    out = {"parameters": parameters(net), "evaluate.logits": values(net.eval()(x))}
    net = fresh().train()
    logits = net(x)
    out["train.logits"] = values(logits)
    out["train.statistics"] = buffers(net)
    out["train.gradient"] = gradients(net, F.cross_entropy(logits, labels))
    smoothed = fresh().train()
    out["smoothed.gradient"] = gradients(
        smoothed, F.cross_entropy(smoothed(x), labels, label_smoothing=0.1)
    )
    for mode in ("evaluate", "train"):
        for through in (False, True):
            net = fresh()
            moved = attacked(net, x, labels, mode, through)
            loss = F.cross_entropy(net(moved), labels)
            key = f"fgm.{mode}.{'through' if through else 'detached'}"
            out[f"{key}.gradient"] = gradients(net, loss)
            out[f"{key}.loss"] = [loss.item()]
            out[f"{key}.statistics"] = buffers(net)
    net = fresh().train()
    decayed = [p for p in net.parameters() if p.dim() > 1]
    others = [p for p in net.parameters() if p.dim() == 1]
    # ResNet with Nesterov's momentum and decay of all weights, PreActResNet with neither.
    groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0 if preact else SGD["weight_decay"]}]
    optimiser = torch.optim.SGD(groups, nesterov=not preact, **SGD)
    losses = []
    for _ in range(3):
        loss = F.cross_entropy(net(x), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    out |= {"sgd.losses": losses, "sgd.parameters": parameters(net), "sgd.statistics": buffers(net)}
    net = fresh().train()
    adam, losses = ref.Adam(net, ADAM_LR), []
    for _ in range(3):
        losses.append(ref.natural_step(net, adam, x, labels))
    out |= {"adam.losses": losses, "adam.parameters": parameters(net), "adam.statistics": buffers(net)}
    return out


if __name__ == "__main__":
    result = {"resnet18": describe(False), "preact-resnet18": describe(True)}
    path = pathlib.Path(__file__).with_name("networks.json")
    path.write_text(json.dumps(result, indent=0) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")
