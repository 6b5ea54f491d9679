#!/usr/bin/env python3
"""Every network of the zoo, trained for one step and exported: `model.py` in PyTorch and the ONNX file in ONNX Runtime
beside what the program answers.

    scripts/zoo_exports.py DATA [--program FILE] [--adapter cpu]

DATA is the folder of CIFAR-10. Each network is trained with and without a normalisation of pixels; those that take 8x8 are
trained on the digits too. Its `export --safetensors` is loaded into the module of `model.py`, its `export --onnx` passes
`onnx.checker` and is computed by ONNX Runtime, and the program reads both back. Differences are in units of the largest
logit of random images. The exit code is 1 if one is larger than TOLERANCE.

Needs the packages torch, numpy, safetensors, onnx and onnxruntime; without them the first call makes a virtual environment
in target/exports-venv with them, as `onnx_exports.py` does.
"""

import argparse
import pathlib
import runpy
import shutil
import subprocess
import sys

import environment
from onnx_exports import PACKAGES, ROOT, VENV

NETWORKS = ["all-convolutional", "resnet18", "preact-resnet18", "wide-resnet-34-10", "wide-resnet-28-10", "wide-resnet-16-4", "vgg11"]
# Five poolings leave nothing of a digit.
TOO_DEEP_FOR_DIGITS = ["vgg11"]
IMAGES = 5
# Rounding of float32 through thirty layers, in units of the largest logit.
TOLERANCE = 1e-5


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder that holds cifar-10-batches-bin")
    parser.add_argument("--adapter", default="cpu", help="where the program computes")
    parser.add_argument("--program", default=str(ROOT / "target" / "release" / "pgn-wgpu"))
    parser.add_argument("--out", default=str(ROOT / "target" / "zoo-exports"), help="folder of the runs")
    return parser.parse_args()


def cases(data):
    """A title, the flags of training, and the extents of an image."""
    cifar = ["--dataset", "cifar10", "--data", data]
    for network in NETWORKS:
        yield f"{network}, CIFAR-10", ["--network", network, *cifar], (3, 32, 32)
        yield f"{network}, normalised", ["--network", network, *cifar, "--normalise", "cifar10"], (3, 32, 32)
        if network not in TOO_DEEP_FOR_DIGITS:
            yield f"{network}, digits", ["--network", network], (1, 8, 8)


def in_torch(folder, images):
    """What the exported module answers."""
    import torch
    from safetensors.torch import load_file

    net = runpy.run_path(str(folder / "model.py"))["Classifier"]()
    net.load_state_dict(load_file(folder / "m.safetensors"))
    with torch.no_grad():
        return net.eval()(torch.from_numpy(images)).numpy()


def in_runtime(folder, images):
    """What ONNX Runtime answers to the exported file, which must be a valid one."""
    import onnx
    import onnxruntime

    onnx.checker.check_model(onnx.load(folder / "m.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(str(folder / "m.onnx"))
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def compare(args, title, flags, extents):
    """Prints a line; whether everything is within the tolerance."""
    import numpy as np

    # A folder in --out, which is the user's.
    folder = pathlib.Path(args.out) / "zoo-exports-case"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    def program(*given):
        adapter = [] if given[0] == "export" else ["--adapter", args.adapter]
        subprocess.run([args.program, *map(str, given), *adapter], check=True, stdout=subprocess.DEVNULL, cwd=folder)

    program("train", *flags, "--width", "0.125", "--method", "natural", "--max-steps", "1", "--batch-size", "16", "--out", "run")
    program("export", "run", "--onnx", "m.onnx", "--safetensors", "m.safetensors")
    images = np.random.default_rng(0).random((IMAGES, *extents), dtype=np.float32)
    np.save(folder / "x.npy", images)
    answers = []
    for model in ["run", "m.onnx", "m.safetensors"]:
        program("predict", model, "--images", "x.npy", "--save", "y.npy", "--force")
        answers.append(np.load(folder / "y.npy"))
    own, *others = [*answers, in_torch(folder, images), in_runtime(folder, images)]
    differences = [np.abs(other - own).max() / np.abs(own).max() for other in others]
    # One by one, because `max` may pass over NaN.
    good = all(value <= TOLERANCE for value in differences)
    print(f"| {title} | {' | '.join(f'{value:.1e}' for value in differences)} |{'' if good else ' FAILED'}", flush=True)
    return good


def main():
    args = arguments()
    args.data = str(pathlib.Path(args.data).resolve())
    args.program = str(pathlib.Path(args.program).resolve())
    needed = ["torch", "numpy", "safetensors", "onnx", "onnxruntime"]
    environment.go_on_within(VENV, PACKAGES, needed)
    print("| network | ONNX read back | safetensors read back | PyTorch | ONNX Runtime |\n| --- | --- | --- | --- | --- |")
    results = [compare(args, *case) for case in cases(args.data)]
    print(f"\n{sum(results)} of {len(results)} agree within {TOLERANCE:.0e}")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
