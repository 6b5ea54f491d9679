"""Writes state_dicts/ beside this file: the state_dict of small networks with the names of common repositories, and what
PyTorch answers to images of a formula.

Only names and the order of layers are those of the repositories; channels are few, so that the files are small. Running
statistics and all weights are random: a layer that is left out or read into another's place changes the logits.
"""

import json
import math
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

HERE = pathlib.Path(__file__).parent / "state_dicts"
CLASSES, IMAGES = 5, 3


def conv(inputs, outputs, size, stride=1, groups=1):
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)


def beside(inputs, outputs, stride, norm):
    if stride == 1 and inputs == outputs:
        return None
    layers = [conv(inputs, outputs, 1, stride)] + ([nn.BatchNorm2d(outputs)] if norm else [])
    return nn.Sequential(*layers)


class Basic(nn.Module):
    def __init__(self, inputs, outputs, stride, shortcut):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = conv(outputs, outputs, 3), nn.BatchNorm2d(outputs)
        self.name, other = shortcut, beside(inputs, outputs, stride, True)
        if other is not None:
            setattr(self, shortcut, other)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (getattr(self, self.name)(x) if hasattr(self, self.name) else x))


class Bottleneck(nn.Module):
    """As torchvision's ResNeXt: groups in the middle, four times the channels at the end."""

    def __init__(self, inputs, outputs, stride, shortcut):
        super().__init__()
        middle = outputs // 2
        self.conv1, self.bn1 = conv(inputs, middle, 1), nn.BatchNorm2d(middle)
        self.conv2, self.bn2 = conv(middle, middle, 3, stride, groups=2), nn.BatchNorm2d(middle)
        self.conv3, self.bn3 = conv(middle, outputs, 1), nn.BatchNorm2d(outputs)
        self.downsample = beside(inputs, outputs, stride, True)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class PreAct(nn.Module):
    def __init__(self, inputs, outputs, stride, shortcut):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, outputs, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(outputs), conv(outputs, outputs, 3)
        other = beside(inputs, outputs, stride, False)
        if other is not None:
            self.shortcut = other

    def forward(self, x):
        seen = F.relu(self.bn1(x))
        shortcut = self.shortcut(seen) if hasattr(self, "shortcut") else x
        return self.conv2(F.relu(self.bn2(self.conv1(seen)))) + shortcut


class WideBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, outputs, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(outputs), conv(outputs, outputs, 3)
        self.convShortcut = None if inputs == outputs else conv(inputs, outputs, 1, stride)

    def forward(self, x):
        seen = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(seen))))
        return y + (x if self.convShortcut is None else self.convShortcut(seen))


class ResNet(nn.Module):
    def __init__(self, block, stages, blocks, head, shortcut="shortcut", stem=3, preact=False, last=False, channels=3):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, stages[0], stem, 2 if stem == 7 else 1, stem // 2, bias=False)
        self.bn1 = None if preact else nn.BatchNorm2d(stages[0])
        self.stages, self.head, inputs = len(stages), head, stages[0]
        for i, outputs in enumerate(stages):
            all_blocks = []
            for j in range(blocks):
                all_blocks.append(block(inputs, outputs, 2 if i > 0 and j == 0 else 1, shortcut))
                inputs = outputs
            setattr(self, f"layer{i + 1}", nn.Sequential(*all_blocks))
        self.bn = nn.BatchNorm2d(inputs) if last else None
        setattr(self, head, nn.Linear(inputs, CLASSES))

    def forward(self, x):
        x = self.conv1(x)
        if self.bn1 is not None:
            x = F.relu(self.bn1(x))
            if self.conv1.kernel_size == (7, 7):
                x = F.max_pool2d(x, 3, 2, 1)
        for i in range(self.stages):
            x = getattr(self, f"layer{i + 1}")(x)
        if self.bn is not None:
            x = F.relu(self.bn(x))
        return getattr(self, self.head)(x.mean((2, 3)))


class NetworkBlock(nn.Module):
    def __init__(self, inputs, outputs, blocks, stride):
        super().__init__()
        first = WideBlock(inputs, outputs, stride)
        self.layer = nn.Sequential(first, *[WideBlock(outputs, outputs, 1) for _ in range(blocks - 1)])

    def forward(self, x):
        return self.layer(x)


class WideResNet(nn.Module):
    def __init__(self, stem, stages, blocks, unused=False):
        super().__init__()
        self.conv1 = conv(3, stem, 3)
        self.block1 = NetworkBlock(stem, stages[0], blocks, 1)
        if unused:
            self.sub_block1 = NetworkBlock(stem, stages[0], blocks, 1)
        self.block2 = NetworkBlock(stages[0], stages[1], blocks, 2)
        self.block3 = NetworkBlock(stages[1], stages[2], blocks, 2)
        self.bn1 = nn.BatchNorm2d(stages[2])
        self.fc = nn.Linear(stages[2], CLASSES)

    def forward(self, x):
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(F.relu(self.bn1(x)).mean((2, 3)))


class VGG(nn.Module):
    """As torchvision writes it, or with one linear layer as pytorch-cifar does. `M` is pooling."""

    def __init__(self, plan, norm, head, channels=3):
        super().__init__()
        layers = []
        for item in plan:
            if item == "M":
                layers.append(nn.MaxPool2d(2, 2))
                continue
            layers.append(nn.Conv2d(channels, item, 3, padding=1))
            layers += [nn.BatchNorm2d(item)] if norm else []
            layers.append(nn.ReLU(inplace=True))
            channels = item
        self.features, self.side = nn.Sequential(*layers), 7 if head else 1
        if head:
            self.classifier = nn.Sequential(
                nn.Linear(channels * 49, head), nn.ReLU(True), nn.Dropout(), nn.Linear(head, head), nn.ReLU(True), nn.Dropout(),
                nn.Linear(head, CLASSES))
        else:
            self.classifier = nn.Linear(channels, CLASSES)

    def forward(self, x):
        x = F.adaptive_avg_pool2d(self.features(x), self.side)
        return self.classifier(x.flatten(1))


class Normalised(nn.Module):
    """As RobustBench wraps a network: buffers mu and sigma beside it."""

    def __init__(self, model):
        super().__init__()
        self.register_buffer("mu", torch.tensor([0.49, 0.48, 0.45]).view(1, 3, 1, 1))
        self.register_buffer("sigma", torch.tensor([0.25, 0.24, 0.26]).view(1, 3, 1, 1))
        self.model = model

    def forward(self, x):
        return self.model((x - self.mu) / self.sigma)


class Normalise(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.5, 0.4, 0.3]))
        self.register_buffer("std", torch.tensor([0.2, 0.3, 0.4]))

    def forward(self, x):
        return (x - self.mean[:, None, None]) / self.std[:, None, None]


class Wrapped(nn.Module):
    """As DataParallel names its network."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x)


def networks():
    yield "resnet18", ResNet(Basic, [2, 3, 4, 5], 2, "linear"), (16, 16)
    yield "resnet20", Wrapped(ResNet(Basic, [2, 3, 4], 3, "fc")), (12, 20)
    yield "torchvision", ResNet(Basic, [3, 4, 5, 6], 2, "fc", "downsample", stem=7), (48, 40)
    yield "resnext", ResNet(Bottleneck, [8, 12, 16], 2, "fc", "downsample", stem=7, channels=1), (40, 40)
    yield "preact", ResNet(PreAct, [2, 3, 4, 5], 2, "linear", preact=True), (16, 16)
    yield "preact-rice", Normalised(ResNet(PreAct, [2, 3, 4, 5], 2, "linear", preact=True, last=True)), (16, 16)
    yield "wide", WideResNet(2, [4, 5, 6], 2), (16, 12)
    yield "wide-trades", Wrapped(WideResNet(2, [2, 3, 4], 2, unused=True)), (16, 16)
    yield "sequence", nn.Sequential(Normalise(), WideResNet(2, [3, 4, 5], 1)), (16, 16)
    yield "vgg", Wrapped(VGG([2, "M", 3, "M", 4, 4, "M", 5, 5, "M"], True, 0)), (16, 16)
    yield "vgg-torchvision", VGG([2, "M", 3, 4, "M"], True, 6), (28, 28)
    yield "vgg-plain", Normalised(VGG([2, 3, "M"], False, 5)), (28, 42)
    yield "vgg-small", VGG([2, "M", 3, 4, "M"], True, 6), (4, 4)


def images(channels, height, width):
    count = IMAGES * channels * height * width
    values = [0.5 + 0.5 * math.sin(0.37 * i + 0.001 * i * i / count) for i in range(count)]
    return torch.tensor(values, dtype=torch.float32).view(IMAGES, channels, height, width)


def main():
    HERE.mkdir(exist_ok=True)
    torch.manual_seed(0)
    answers = {}
    for name, net, (height, width) in networks():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.7, 1.3)
                nn.init.uniform_(module.bias, -0.2, 0.2)
                nn.init.uniform_(module.running_mean, -0.3, 0.3)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        net.eval()
        channels = next(p for p in net.parameters() if p.dim() == 4).shape[1]
        with torch.no_grad():
            logits = net.double()(images(channels, height, width).double())
        answers[name] = {"channels": channels, "height": height, "width": width, "logits": logits.flatten().tolist()}
        state = {key: value.float() if value.is_floating_point() else value for key, value in net.state_dict().items()}
        save_file(state, HERE / f"{name}.safetensors")
    (HERE / "logits.json").write_text(json.dumps(answers) + "\n")


main()
