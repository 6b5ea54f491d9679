"""Training steps in PyTorch, to stand beside those of `pgn-wgpu bench` on the same device; prints one JSON object.

    python scripts/torch_steps.py --widths 0.25 1 --batch-size 128 --seconds 1

Steps are those of tests/golden/reference.py, with its eager Adam and moving average, on random images of CIFAR-10's shape;
cuDNN may measure its algorithms. Networks are Table 1's and ResNet-18. On a GPU everything runs in float32 and, where the
GPU has it, with TF32.
"""

import argparse
import json
import pathlib
import sys
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"))
import make_networks as networks  # noqa: E402
import reference as ref  # noqa: E402

# The file makes float64 the default, for its own sake.
torch.set_default_dtype(torch.float32)

SIDE, CHANNELS, CLASSES = 32, 3, 10
LR, DECAY, EPSILON, C_L, ITERATIONS = 2e-3, 0.99, 0.5, 3.0, 10


def pgd(classifier, x, labels):
    """Projected gradient descent in L2, with the direction of `ref.fgm`."""
    moved = x
    for _ in range(ITERATIONS):
        g = ref.saturation_free_gradient(classifier, moved, labels)
        delta = moved + 0.25 * EPSILON * g / ref.per_image(ref.l2_norms(g), g) - x
        length = ref.per_image(ref.l2_norms(delta), delta)
        moved = (x + delta * (EPSILON / length).clamp(max=1)).clamp(0, 1).detach()
    return moved


def steps(classifier, generator, x, labels):
    """The steps by name, each a function without arguments."""
    adam, ema = ref.Adam(classifier, LR), ref.Ema(classifier, DECAY)

    def learn(images):
        ref.natural_step(classifier, adam, images, labels)
        ema.update()

    kinds = {
        "natural": lambda: learn(x),
        "fgm": lambda: learn(ref.fgm(classifier, x, labels, EPSILON).detach()),
        "pgd": lambda: learn(pgd(classifier, x, labels)),
    }
    if generator is not None:
        adam_g, ema_g = ref.Adam(generator, LR), ref.Ema(generator, DECAY)

        def play():
            ref.pgn_step(classifier, generator, adam, adam_g, x, labels, C_L)
            ema.update()
            ema_g.update()

        kinds["pgn"] = play
    return kinds


def wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def images_per_second(step, device, images, seconds):
    for _ in range(3):
        step()
    wait(device)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds or count < 3:
        step()
        count += 1
    wait(device)
    return images * count / (time.perf_counter() - began)


def table_1(width):
    classifier, generator = (kind(SIDE, CHANNELS, CLASSES, width) for kind in (ref.Classifier, ref.Generator))
    ref.he_init(classifier, generator)
    return classifier, generator


def resnet(width):
    networks.WIDTH, networks.CHANNELS, networks.CLASSES = width, CHANNELS, CLASSES
    return networks.ResNet(preact=False), None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=float, nargs="+", default=[0.25, 1])
    parser.add_argument("--resnet-width", type=float, default=1, help="0 leaves the ResNet-18 out")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=1, help="for each kind of step")
    parser.add_argument("--within", type=float, default=1e9, help="seconds after which nothing more is begun, but said")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()

    device = torch.device(options.device)
    torch.backends.cudnn.benchmark = True
    gpu = device.type == "cuda"
    cases = [(f"all-convolutional {width:g}", table_1, width) for width in options.widths]
    if options.resnet_width:
        cases.append((f"resnet18 {options.resnet_width:g}", resnet, options.resnet_width))
    rows, left_out, began = [], [], time.perf_counter()
    for name, build, width in cases:
        for precision in ["float32", "tf32"] if gpu else ["float32"]:
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
            torch.manual_seed(0)
            classifier, generator = (net and net.to(device) for net in build(width))
            x = torch.rand(options.batch_size, CHANNELS, SIDE, SIDE, device=device)
            labels = torch.randint(0, CLASSES, (options.batch_size,), device=device)
            for kind, step in steps(classifier, generator, x, labels).items():
                if time.perf_counter() - began > options.within:
                    left_out.append(f"{name} {kind} {precision}")
                    continue
                speed = images_per_second(step, device, options.batch_size, options.seconds)
                rows.append({"network": name, "step": kind, "precision": precision, "images_per_second": speed})
    print(json.dumps({
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if gpu else f"CPU, {torch.get_num_threads()} threads",
        "batch_size": options.batch_size,
        "steps": rows,
        "left_out": left_out,
    }))


if __name__ == "__main__":
    main()
