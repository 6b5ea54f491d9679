"""Networks in PyTorch that `onnx_exports.py` exports: small, of the shapes that people train and download.

All have random weights and random running statistics, so that no layer is the identity, and answer with ten logits.
"""

import torch
import torchvision
from torch import nn
from torch.nn import functional as F

CLASSES = 10


class WideBlock(nn.Module):
    """A block of a wide ResNet with normalisation before convolution. With stride 2 it pads as TensorFlow does: on the
    right and below only."""

    def __init__(self, inputs, outputs, stride, activation):
        super().__init__()
        self.stride, self.activation = stride, activation
        self.bn1, self.bn2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=0 if stride == 2 else 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.beside = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if inputs != outputs else None

    def forward(self, x):
        seen = self.activation(self.bn1(x))
        y = self.conv1(F.pad(seen, (0, 1, 0, 1)) if self.stride == 2 else seen)
        y = self.conv2(self.activation(self.bn2(y)))
        return y + (x if self.beside is None else self.beside(seen))


class WideResNet(nn.Module):
    """Wide ResNet with its normalisation of pixels inside, as in RobustBench."""

    def __init__(self, activation, width=8):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4914, 0.4822, 0.4465]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.2471, 0.2435, 0.2616]).view(1, 3, 1, 1))
        self.stem = nn.Conv2d(3, width, 3, padding=1, bias=False)
        widths = [width, 2 * width, 4 * width]
        inputs = [width, *widths]
        blocks = [WideBlock(inputs[i], widths[i], 1 if i == 0 else 2, activation) for i in range(3)]
        self.blocks = nn.Sequential(*blocks)
        self.bn, self.activation = nn.BatchNorm2d(widths[-1]), activation
        self.fc = nn.Linear(widths[-1], CLASSES)

    def forward(self, x):
        x = self.blocks(self.stem((x - self.mean) / self.std))
        x = F.avg_pool2d(self.activation(self.bn(x)), x.shape[-1])
        return self.fc(x.view(-1, self.fc.in_features))


class Patches(nn.Module):
    """Patches, mixed by depthwise convolutions (ConvMixer), with group normalisation and a head of two layers."""

    def __init__(self, width=16):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 4, 4)
        self.mix = nn.Conv2d(width, width, 5, padding="same", groups=width)
        self.norm = nn.GroupNorm(4, width)
        self.point = nn.Conv2d(width, width, 1)
        self.head = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(approximate="tanh"), nn.Linear(2 * width, CLASSES))

    def forward(self, x):
        x = F.gelu(self.stem(x))
        x = x + self.norm(F.mish(self.mix(x)))
        return self.head(F.adaptive_avg_pool2d(F.elu(self.point(x)), 1).flatten(1))


class Attention(nn.Module):
    """Squeeze and excitation, a spatial shuffle and upsampling."""

    def __init__(self, width=16):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 2, 1)
        self.prelu = nn.PReLU(width)
        self.down, self.up = nn.Linear(width, 4), nn.Linear(4, width)
        self.shuffle = nn.PixelShuffle(2)
        self.conv = nn.Conv2d(width // 4 + 3, width, 3, 4, 1, dilation=2)
        self.deconv = nn.ConvTranspose2d(width, 8, 3, 2, 1, output_padding=1)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x):
        y = self.prelu(self.stem(x))
        gate = torch.sigmoid(self.up(F.relu(self.down(y.mean((2, 3))))))
        y = self.shuffle(y * gate[:, :, None, None])
        small = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear", align_corners=False)
        y = F.hardswish(self.conv(torch.cat([y, small], 1)))
        return self.fc(torch.tanh(self.deconv(y)).amax((2, 3)))


class Windows(nn.Module):
    """Adaptive pooling whose windows differ in size, and to more places than there are, as in a VGG on small images."""

    def __init__(self, width=8):
        super().__init__()
        self.stem, self.wide = nn.Conv2d(3, width, 3, 4, 1), nn.Conv2d(width, 2 * width, 8)
        self.fc = nn.Linear(2 * width * 49 + width * 15, CLASSES)

    def forward(self, x):
        x = F.relu(self.stem(x))
        y = F.adaptive_avg_pool2d(F.relu(self.wide(x)), 7).flatten(1)
        return self.fc(torch.cat([y, F.adaptive_avg_pool2d(x, (3, 5)).flatten(1)], 1))


def resnet50_like(width=8):
    """Bottleneck blocks behind a stem of 7x7, stride 2, and maximum pooling, one of each stage."""
    net = torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], num_classes=CLASSES)
    return narrowed(net, width / 64)


def narrowed(net, factor):
    """A ResNet of torchvision with this share of its channels."""
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            scale = lambda channels: channels if channels == 3 else max(1, int(channels * factor))
            if isinstance(child, nn.Conv2d):
                size, stride, padding = child.kernel_size, child.stride, child.padding
                setattr(module, name, nn.Conv2d(scale(child.in_channels), scale(child.out_channels), size, stride, padding, bias=False))
            elif isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.BatchNorm2d(scale(child.num_features)))
            elif isinstance(child, nn.Linear):
                setattr(module, name, nn.Linear(scale(child.in_features), CLASSES))
    return net


def convnext_like(width=12):
    """7x7 depthwise convolutions, layer normalisation over channels, GELU, layer scale."""
    setting = torchvision.models.convnext.CNBlockConfig
    blocks = [setting(width, 2 * width, 1), setting(2 * width, 4 * width, 1), setting(4 * width, None, 1)]
    net = torchvision.models.ConvNeXt(blocks, num_classes=CLASSES, layer_scale=0.5)
    return net


# Networks by name, each with the sides of the images that it is tried with.
NETWORKS = {
    "wrn-leaky": (lambda: WideResNet(nn.LeakyReLU(0.1)), [32]),
    "wrn-silu": (lambda: WideResNet(nn.SiLU()), [32]),
    "resnet50-like": (resnet50_like, [64, 224]),
    "convnext-like": (convnext_like, [64, 224]),
    "vgg": (lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2, 2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU6(), nn.AdaptiveAvgPool2d((7, 7)), nn.Flatten(), nn.Dropout(),
        nn.Linear(16 * 49, CLASSES)), [28]),
    "windows": (Windows, [32]),
    "patches": (Patches, [32]),
    "attention": (Attention, [32]),
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=CLASSES), [32]),
    "resnet50": (lambda: torchvision.models.resnet50(num_classes=CLASSES), [64]),
    "googlenet": (lambda: torchvision.models.googlenet(num_classes=CLASSES, aux_logits=False, init_weights=False), [64]),
    "mobilenet-v2": (lambda: torchvision.models.MobileNetV2(CLASSES, width_mult=0.25), [64]),
    "mobilenet-v3": (lambda: torchvision.models.mobilenet_v3_small(num_classes=CLASSES, width_mult=0.25), [64]),
    "densenet": (lambda: torchvision.models.DenseNet(4, (2, 2), 8, num_classes=CLASSES), [64]),
    "squeezenet": (lambda: torchvision.models.squeezenet1_1(num_classes=CLASSES), [64]),
    "regnet": (lambda: torchvision.models.regnet_y_400mf(num_classes=CLASSES), [64]),
    "efficientnet": (lambda: torchvision.models.efficientnet_b0(num_classes=CLASSES), [64]),
    "shufflenet": (lambda: torchvision.models.shufflenet_v2_x0_5(num_classes=CLASSES), [64]),
}


def network(name, seed=0):
    """The network in evaluation mode, with statistics and scales that are not those of a new one."""
    torch.manual_seed(seed)
    net = NETWORKS[name][0]()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    return net.eval().requires_grad_(False)
