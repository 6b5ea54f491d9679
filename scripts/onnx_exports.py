#!/usr/bin/env python3
"""Networks exported from PyTorch in many ways, read by the program: logits and input gradients beside PyTorch's.

    scripts/onnx_exports.py [--only NAME ...] [--ways WAY ...] [--files model.onnx ...] [--adapter cpu]

Each network of `exported_networks.py` is exported with both exporters of PyTorch, from opset 11 to the newest, without
constant folding, with a fixed and a free number of images, with weights of 16 and 64 bits and with weights in a file of
their own; `--files` tries ONNX files instead, which onnx2torch turns into PyTorch.

For each file the program's logits are compared with PyTorch's in float64 and, where ONNX Runtime computes the file, with
its logits too, which it must but in the ways of RUNTIME_REFUSES; the gradient of the cross-entropy by the images is compared with PyTorch's in float64 and float32, the
nearer of which counts for each image. Differences are in units of the largest number. At last one file is trained for some
steps and exported by the program, for ONNX Runtime. The exit code is 1 if a difference is larger than TOLERANCE, or if a
file is refused. Ways in which PyTorch does not export a network are named and do not count, but each way must export some network.

The first call makes a virtual environment in target/exports-venv with the packages below from PyPI, 2.5 GB on Linux,
where PyPI's torch comes with CUDA. Set PIP_INDEX_URL or PIP_EXTRA_INDEX_URL for a smaller one.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import warnings

import environment

ROOT = pathlib.Path(__file__).resolve().parents[1]
VENV = ROOT / "target" / "exports-venv"
PACKAGES = ["torch==2.15.0", "torchvision==0.29.2", "numpy<2", "safetensors==0.8.0", "onnx==1.16.2", "onnxruntime==1.19.2",
            "onnxscript==0.7.2", "onnx2torch==1.5.15"]
MODULES = ["torch", "torchvision", "numpy", "safetensors", "onnx", "onnxruntime", "onnxscript", "onnx2torch"]

IMAGES = 3
# Rounding of float32 through some fifty layers, in units of the largest number.
TOLERANCE = 1e-4

# Ways whose files ONNX Runtime may refuse: it has no convolutions of all these numbers on the CPU, and the newest operators come to it
# later.
RUNTIME_REFUSES = ["script-16bit", "script-bf16", "script-64bit", "dynamo-newest", "dynamo-16bit", "dynamo-bf16"]
# Networks that the exporter which traces refuses: it knows no adaptive pooling with windows of several sizes.
NOT_TRACED = ["windows"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="networks; all by default")
    parser.add_argument("--ways", nargs="+", metavar="WAY", help="ways of exporting; all by default")
    parser.add_argument("--sides", nargs="+", type=int, help="sides of images; those of the network by default")
    parser.add_argument("--files", nargs="+", metavar="FILE", help="ONNX files to try in place of exported networks")
    parser.add_argument("--adapter", default="cpu", help="where the program computes")
    parser.add_argument("--binary", default=str(ROOT / "target" / "release" / "examples" / "input_gradients"))
    parser.add_argument("--program", default=str(ROOT / "target" / "release" / "pgn-wgpu"))
    parser.add_argument("--out", default=str(ROOT / "target" / "exports"), help="folder of the exported files")
    return parser.parse_args()


# Ways of exporting a network: each writes `path` and gives the network that PyTorch should compute.

def by_script(opset, folding=True, free=True, kind="float32", outside=False):
    """The exporter that traces."""
    def export(net, images, path):
        import onnx
        import torch

        net = net.to(getattr(torch, kind))
        axes = {"images": {0: "n"}, "logits": {0: "n"}} if free else None
        # Batch normalisation that becomes part of a convolution is rounded to 16 bits once more.
        mode = torch.onnx.TrainingMode.PRESERVE if kind.endswith("16") else torch.onnx.TrainingMode.EVAL
        torch.onnx.export(net, images.to(getattr(torch, kind)), path, dynamo=False, opset_version=opset,
                          do_constant_folding=folding, input_names=["images"], output_names=["logits"], dynamic_axes=axes,
                          training=mode)
        if outside:
            model = onnx.load(path)
            data = f"{pathlib.Path(path).name}.data"
            pathlib.Path(path).with_name(data).unlink(missing_ok=True)
            onnx.save(model, path, save_as_external_data=True, location=data, size_threshold=0)
        return net
    return export


def by_dynamo(opset, free=True, kind="float32", outside=False, optimise=True):
    """The exporter that captures the program."""
    def export(net, images, path):
        import torch

        net = net.to(getattr(torch, kind))
        shapes = ({0: torch.export.Dim("n", min=1, max=4096)},) if free else None
        torch.onnx.export(net, (images.to(getattr(torch, kind)),), path, dynamo=True, opset_version=opset,
                          dynamic_shapes=shapes, external_data=outside, optimize=optimise, verbose=False)
        return net
    return export


WAYS = {
    "script-11": by_script(11),
    "script-13-unfolded": by_script(13, folding=False),
    "script-17-fixed": by_script(17, free=False),
    "script-18": by_script(18),
    "script-20-outside": by_script(20, outside=True),
    "script-16bit": by_script(17, kind="float16"),
    "script-bf16": by_script(17, kind="bfloat16"),
    "script-64bit": by_script(17, kind="float64"),
    "dynamo-18": by_dynamo(18),
    "dynamo-18-fixed-plain": by_dynamo(18, free=False, optimise=False),
    "dynamo-20-outside": by_dynamo(20, outside=True),
    "dynamo-newest": by_dynamo(None),
    "dynamo-16bit": by_dynamo(18, kind="float16", optimise=False),
    "dynamo-bf16": by_dynamo(18, kind="bfloat16", optimise=False),
}


def images_of(shape):
    import torch

    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def expected(net, images):
    """PyTorch's logits in float64, the classes that it likes least, and its input gradients by these in float64 and in
    float32. By the likeliest class the gradient of a network that is sure of itself is but rounding."""
    import torch

    def gradient(net, x, labels):
        x = x.clone().requires_grad_()
        torch.nn.functional.cross_entropy(net(x), labels, reduction="sum").backward()
        return x.grad

    net = net.double()
    logits = net(images.double()).detach()
    labels = logits.argmin(1)
    precise = gradient(net, images.double(), labels)
    return logits, labels, [precise, gradient(net.float(), images, labels)]


def ours(args, path, images, labels):
    """The program's logits and input gradients."""
    from safetensors.torch import load_file, save_file

    given, made = path.with_suffix(".in"), path.with_suffix(".out")
    save_file({"images": images, "labels": labels.float()[:, None].contiguous()}, given)
    done = subprocess.run([args.binary, path, given, made, args.adapter], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().replace("\n", " "))
    tensors = load_file(made)
    for file in (given, made):
        file.unlink()
    return tensors["logits"], tensors["gradients"]


def of_runtime(path, images):
    """ONNX Runtime's logits. It raises what it likes where it does not compute the file."""
    import onnxruntime
    import torch

    onnxruntime.set_default_logger_severity(4)
    session = onnxruntime.InferenceSession(str(path))
    first = session.get_inputs()[0]
    kinds = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
    if first.type not in kinds:
        raise TypeError(f"NumPy has no {first.type}")
    x = images.numpy().astype(kinds[first.type])
    fixed = first.shape[0] if isinstance(first.shape[0], int) else len(x)
    parts = [session.run(None, {first.name: x[at:at + fixed]})[0] for at in range(0, len(x), fixed)]
    return torch.cat([torch.from_numpy(part) for part in parts])


def first_line(error):
    return str(error).strip().split("\n")[0][:120]


def difference(own, other):
    return (own.double() - other.double()).abs().max().item() / other.double().abs().max().item()


def from_nearest(own, references):
    """The difference from the nearer of two references, image by image. Where a ReLU stands at its kink, rounding decides the
    gradient, and PyTorch's own two differ."""
    first, second = [(own.double() - other.double()).abs().flatten(1).amax(1) for other in references]
    return first.minimum(second).max().item() / references[0].abs().max().item()


def compare(args, name, path, net, images, must_run):
    """A line; whether everything is within the tolerance, and ONNX Runtime computes the file where it must."""
    logits, labels, gradients = expected(net, images)
    try:
        own_logits, own_gradients = ours(args, path, images, labels)
    except RuntimeError as error:
        print(f"| {name} | refused: {error} | | |", flush=True)
        return False
    try:
        runtime, shown = of_runtime(path, images), ""
    except Exception as error:
        runtime, shown = None, f"not computed: {first_line(error)}"
    # ONNX Runtime computes in the 16 bits of the file.
    precise = runtime is not None and runtime.element_size() > 2
    differences = [difference(own_logits, logits), from_nearest(own_gradients, gradients)]
    beside = difference(own_logits, runtime) if precise else None
    good = all(value <= TOLERANCE for value in [*differences, beside or 0]) and (runtime is not None or not must_run)
    shown = shown if beside is None else f"{beside:.1e}"
    print(f"| {name} | {differences[0]:.1e} | {shown} | {differences[1]:.1e} |{'' if good else ' FAILED'}", flush=True)
    return good


def exported(args):
    """Every network in every way."""
    import exported_networks
    import torch

    folder = pathlib.Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    # How many networks each way should export, and how many it did.
    wanted, made = dict.fromkeys(args.ways or WAYS, 0), dict.fromkeys(args.ways or WAYS, 0)
    for name in args.only or exported_networks.NETWORKS:
        for side in args.sides or exported_networks.NETWORKS[name][1]:
            images = images_of((IMAGES, 3, side, side))
            for way in args.ways or WAYS:
                title, path = f"{name} {side} {way}", folder / f"{name}-{side}-{way}.onnx"
                fixed = images[:1] if "fixed" in way else images
                wanted[way] += not (name in NOT_TRACED and way.startswith("script"))
                try:
                    net = WAYS[way](exported_networks.network(name), fixed, str(path))
                except Exception as error:
                    print(f"| {title} | PyTorch does not export it: {first_line(error)} | | |", flush=True)
                    continue
                made[way] += 1
                yield compare(args, title, path, net, images, way not in RUNTIME_REFUSES)
    for way in wanted:
        if wanted[way] and not made[way]:
            print(f"| {way} | PyTorch exports no network in this way | | | FAILED", flush=True)
            yield False


def trained(args):
    """A file that is trained and exported by the program answers in ONNX Runtime what the program answers."""
    import exported_networks
    import numpy as np
    import onnx

    folder = pathlib.Path(args.out)
    first, run, last = folder / "first.onnx", folder / "onnx-exports-run", folder / "last.onnx"
    images = images_of((2 * IMAGES, 3, 32, 32))
    net = WAYS["script-17-fixed"](exported_networks.network("wrn-silu"), images[:1], str(first))
    labels = net(images).argmax(1).numpy()
    labels[0] = exported_networks.CLASSES - 1
    np.savez(folder / "set.npz", x_train=images.numpy(), y_train=labels, x_test=images.numpy(), y_test=labels)
    np.save(folder / "x.npy", images.numpy())
    shutil.rmtree(run, ignore_errors=True)
    for command in (["train", "--from", first, "--dataset", "npy", "--data", folder / "set.npz", "--method", "fgm", "--epsilon",
                     "0.1", "--max-steps", "5", "--validation-share", "0", "--robust-every", "0", "--out", run],
                    ["export", run, "--onnx", last, "--force"],
                    ["predict", run, "--images", folder / "x.npy", "--save", folder / "y.npy", "--force"]):
        given = [] if command[0] == "export" else ["--adapter", args.adapter]
        done = subprocess.run([args.program, *command, *given], capture_output=True, text=True)
        if done.returncode:
            print(f"| trained and exported | refused: {done.stderr.strip()} | | | FAILED")
            return False
    onnx.checker.check_model(onnx.load(last), full_check=True)
    import torch

    own, before = torch.from_numpy(np.load(folder / "y.npy")), of_runtime(first, images)
    beside, moved = difference(own, of_runtime(last, images)), difference(own, before)
    good = beside <= TOLERANCE < moved
    print(f"| trained and exported | | {beside:.1e} | |{'' if good else ' FAILED'}", flush=True)
    return good


def of_files(args):
    """Files, with PyTorch's network as onnx2torch makes it."""
    import onnx
    import onnx2torch

    for file in map(pathlib.Path, args.files):
        extents = onnx.load(file).graph.input[0].type.tensor_type.shape.dim
        images = images_of((IMAGES, *[extent.dim_value for extent in extents[1:]]))
        own = pathlib.Path(args.out) / file.name
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_bytes(file.read_bytes())
        yield compare(args, file.name, own, onnx2torch.convert(onnx.load(file)).eval(), images, False)


def main():
    args = arguments()
    environment.go_on_within(VENV, PACKAGES, MODULES)
    warnings.filterwarnings("ignore")
    print("| file | logits beside PyTorch | beside ONNX Runtime | input gradients |\n| --- | --- | --- | --- |")
    results = list(of_files(args)) if args.files else [*exported(args), trained(args)]
    print(f"\n{sum(results)} of {len(results)} files agree within {TOLERANCE:.0e}")
    sys.exit(0 if all(results) and results else 1)


if __name__ == "__main__":
    main()
