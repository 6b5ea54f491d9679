"""The method in plain PyTorch: both networks, the composition, the losses, Adam and EMA.

An oracle that shares no code, no layout and no automatic differentiation with the Rust crate. It is written to be
read beside the paper, not to be fast. `make_golden.py` runs it in float64 to write the golden values,
`train_reference.py` in float32 to train on CIFAR-10.

Pixels are in [0, 1], images are [N, C, H, W], L2 is the norm over all values of one image.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

LEAKY_SLOPE = 0.2
CLAMP = 1e-6  # keeps atanh(2x - 1) finite at black and white pixels
LOG_GAIN = 10.0  # scale of the gradient image in the `log` reading


def scaled(channels, width):
    """Channels at a width multiplier, never fewer than one."""
    return max(1, math.floor(channels * width + 0.5))


def leaky(x):
    return F.leaky_relu(x, LEAKY_SLOPE)


class Classifier(nn.Module):
    """All-convolutional classifier of Table 1; leaky ReLU follows every convolution, the last one too."""

    def __init__(self, side, channels, classes, width):
        super().__init__()
        base, scales = scaled(64, width), round(math.log2(side)) - 2
        sizes = [channels]
        for scale in range(scales):
            sizes += [base << scale, base << (scale + 1)]
        sizes.append(classes)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in zip(sizes, sizes[1:]))

    def forward(self, x):
        for first, second in zip(self.convs[:-1:2], self.convs[1:-1:2]):
            x = F.avg_pool2d(leaky(second(leaky(first(x)))), 2)  # an odd last row or column is dropped
        return leaky(self.convs[-1](x)).mean(dim=(2, 3))


class Generator(nn.Module):
    """Perturbation generator of Table 1: label, image and gradient image in, perturbation in tanh space out.

    The dense output is laid out [height, width, channel]. Label planes come after the features.
    """

    def __init__(self, side, channels, classes, width):
        super().__init__()
        self.quarter, self.classes, self.features = side // 4, classes, scaled(128, width)
        hidden, f = scaled(1024, width), self.features
        self.fc1 = nn.Linear(classes, hidden)
        self.fc2 = nn.Linear(hidden + classes, self.quarter * self.quarter * f)
        self.up1 = nn.ConvTranspose2d(f + classes, f, 3, stride=2, padding=1, output_padding=1)
        self.up2 = nn.ConvTranspose2d(f + classes, f, 3, stride=2, padding=1, output_padding=1)
        self.up3 = nn.ConvTranspose2d(f + 2 * channels, f, 3, stride=1, padding=1)
        self.up4 = nn.ConvTranspose2d(f, channels, 3, stride=1, padding=1)

    def forward(self, labels, x, gradient_image):
        y = F.one_hot(labels, self.classes).to(x.dtype)
        h = leaky(self.fc1(y))
        h = leaky(self.fc2(torch.cat([h, y], dim=1)))
        h = h.view(-1, self.quarter, self.quarter, self.features).permute(0, 3, 1, 2)
        for up in (self.up1, self.up2):
            planes = y[:, :, None, None].expand(-1, -1, h.shape[2], h.shape[3])
            h = leaky(up(torch.cat([h, planes], dim=1)))
        h = leaky(self.up3(torch.cat([h, x, gradient_image], dim=1)))
        return self.up4(h)


def he_init(classifier, generator=None):
    """Normal weights of variance 2 / fan_in, zero biases; the generator's last layer scaled by 0.1.

    Each output of a stride-2 up-convolution sees a quarter of the nine taps on average, and its fan_in says so.
    """
    modules = list(classifier.modules()) + (list(generator.modules()) if generator else [])
    for module in modules:
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            fan_in = module.weight[0].numel()
        elif isinstance(module, nn.ConvTranspose2d):
            fan_in = module.in_channels * 9 / (module.stride[0] * module.stride[1])
        else:
            continue
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_in))
        nn.init.zeros_(module.bias)
    if generator:
        with torch.no_grad():
            generator.up4.weight *= 0.1


def l2_norms(x):
    return x.flatten(1).norm(dim=1)


def per_image(values, like):
    """A [N] vector shaped so that it multiplies whole images."""
    return values.view(-1, *[1] * (like.dim() - 1))


def gradient_image(classifier, x, labels, reading="log", through=False):
    """Gradient of the true class's softmax probability, as the generator sees it (one of four readings)."""
    x = x.detach().requires_grad_()
    probability = classifier(x).softmax(dim=1).gather(1, labels[:, None]).squeeze(1)
    target = probability.log().sum() if reading == "log" else probability.sum()
    (g,) = torch.autograd.grad(target, x, create_graph=through)
    if reading == "log":
        g = LOG_GAIN * g
    elif reading in ("l2", "rms"):
        norms = l2_norms(g)
        g = g / per_image(norms.where(norms > 0, torch.ones_like(norms)), g)  # a zero gradient stays zero
        g = g * math.sqrt(g[0].numel()) if reading == "rms" else g
    return g


def compose(x, output):
    """Equation 5: adds the generator's output in tanh space, so that every pixel stays inside the box."""
    x = x.clamp(CLAMP, 1 - CLAMP)
    return 0.5 * (torch.tanh(torch.atanh(2 * x - 1) + output) + 1)


def pgn_objective(classifier, generator, x, labels, c_l, reading="log", penalty_space="pixel", through=False):
    """Equation 4, which the classifier minimises and the generator maximises, with its parts by name."""
    g = gradient_image(classifier, x, labels, reading, through)
    output = generator(labels, x, g)
    x_adv = compose(x, output)
    logits = classifier(x_adv)
    cross_entropy = F.cross_entropy(logits, labels)
    charged = x_adv - x if penalty_space == "pixel" else output
    penalty = charged.flatten(1).pow(2).sum(dim=1).mean()
    return {
        "gradient_image": g,
        "output": output,
        "x_adv": x_adv,
        "logits": logits,
        "delta_norms": l2_norms(x_adv - x),
        "cross_entropy": cross_entropy,
        "penalty": penalty,
        "objective": cross_entropy - c_l * penalty,
    }


def saturation_free_gradient(classifier, x, labels, through=False):
    """Direction of the cross-entropy gradient that does not vanish when the classifier is sure.

    The logits are fed with q (softmax over the wrong classes) and -1 at the true class.
    """
    x = x.detach().requires_grad_()
    logits = classifier(x)
    true_class = F.one_hot(labels, logits.shape[1]).bool()
    q = logits.masked_fill(true_class, -math.inf).softmax(dim=1)
    feed = q - true_class.to(q.dtype)
    # Through the attack, q is a function of the weights and is differentiated as such.
    (g,) = torch.autograd.grad(logits, x, grad_outputs=feed if through else feed.detach(), create_graph=through)
    return g


def fgm(classifier, x, labels, epsilon, through=False):
    """Fast gradient method in L2 with the saturation-free direction."""
    g = saturation_free_gradient(classifier, x, labels, through)
    return (x + epsilon * g / per_image(l2_norms(g), g)).clamp(0, 1)


class Adam:
    """Adam with epsilon outside the bias correction: lr*sqrt(1-b2^t)/(1-b1^t) * m / (sqrt(v) + eps)."""

    def __init__(self, module, lr, beta1=0.9, beta2=0.999, epsilon=1e-8):
        self.parameters = list(module.parameters())
        self.lr, self.beta1, self.beta2, self.epsilon, self.t = lr, beta1, beta2, epsilon, 0
        self.m = [torch.zeros_like(p) for p in self.parameters]
        self.v = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, gradients):
        self.t += 1
        rate = self.lr * math.sqrt(1 - self.beta2**self.t) / (1 - self.beta1**self.t)
        for p, g, m, v in zip(self.parameters, gradients, self.m, self.v):
            m.mul_(self.beta1).add_(g, alpha=1 - self.beta1)
            v.mul_(self.beta2).addcmul_(g, g, value=1 - self.beta2)
            p -= rate * m / (v.sqrt() + self.epsilon)


class Ema:
    """Moving average of a module's weights, started at the initial ones, decay min(decay, (1+t)/(10+t)).

    t is Adam's: 1 at the first update.
    """

    def __init__(self, module, decay):
        self.module, self.decay, self.t = module, decay, 0
        self.weights = {name: p.detach().clone() for name, p in module.named_parameters()}

    @torch.no_grad()
    def update(self):
        self.t += 1
        decay = min(self.decay, (1 + self.t) / (10 + self.t))
        for name, p in self.module.named_parameters():
            self.weights[name].mul_(decay).add_(p, alpha=1 - decay)


def gradients(value, module, **options):
    """Gradients of a scalar for every parameter of a module, in the order of `parameters()`."""
    return torch.autograd.grad(value, list(module.parameters()), **options)


def natural_step(classifier, adam, x, labels):
    """One step on clean images; returns the loss before the step."""
    loss = F.cross_entropy(classifier(x), labels)
    adam.step(gradients(loss, classifier))
    return loss.item()


def classifier_loss(game, classifier, x, labels, adv_coeff):
    """What the classifier minimises; adv_coeff mixes clean images in, for the classifier only."""
    if adv_coeff == 1:
        return game["cross_entropy"]
    return adv_coeff * game["cross_entropy"] + (1 - adv_coeff) * F.cross_entropy(classifier(x), labels)


def pgn_step(classifier, generator, adam_f, adam_g, x, labels, c_l, adv_coeff=1.0, alternating=False):
    """One detached step of the game; returns its parts as they were before the step (classifier's part after
    the generator's step if alternating)."""
    game = pgn_objective(classifier, generator, x, labels, c_l)
    up = gradients(-game["objective"], generator, retain_graph=True)
    if alternating:
        adam_g.step(up)
        game = pgn_objective(classifier, generator, x, labels, c_l)
    down = gradients(classifier_loss(game, classifier, x, labels, adv_coeff), classifier)
    if not alternating:
        adam_g.step(up)
    adam_f.step(down)
    return {name: value.detach() for name, value in game.items()}
