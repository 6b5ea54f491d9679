#!/usr/bin/env python3
"""Real weights that others trained: the two LeNet5 of the PyPI source package advertorch 0.2.3, judged by the program.

    scripts/advertorch.py --data DIR [--images 100] [--versions quick full] [--autoattack]

One network was trained on MNIST without attacks, the other against attacks within 0.3 in Linf. Their weights (LGPL) are
fetched, unpacked and written as ONNX into target/advertorch; nothing is kept with the program. DIR holds the four IDX files
of MNIST.

The archive is the one with the SHA-256 in this file, or the script ends. pip, which fetches it, checks that too, and then runs
the package's setup.py, because it wants the metadata of whatever it downloads. Nothing else of the package runs.

Checked are the accuracies on the 10,000 test images, which the authors publish as 98.89 % and 98.64 %, and the verdict
at Linf 0.3 on the first images of the test set, in the order of its file: 0 for the first network, 0.84 to 0.92 for the
second. With --autoattack the standard set of AutoAttack (PyPI `pyautoattack`) attacks the same images in PyTorch, which
takes about a quarter of an hour on one thread for 100 images; the table then says how many images the two judge differently.
"""

import argparse
import csv
import gzip
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import time
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = "advertorch==0.2.3"
ARCHIVE = "advertorch-0.2.3.tar.gz"
SHA256 = "ca92a14b0521ae0f9bfa8100d37e47cb741ede1f1411fbaf9182ddebc7062dce"
WEIGHTS = "advertorch_examples/trained_models/mnist_lenet5_{}trained.pt"

EPSILON = 0.3
# Published accuracies on the 10,000 test images, and the least and the largest robust accuracy that is believed: that of
# the second network is about 0.89 to 0.90 by AutoAttack on the first hundreds of images, and sets of 100 differ.
NETWORKS = {"cln": ("trained without attacks", 0.9889, (0.0, 0.0)), "adv": ("trained against attacks", 0.9864, (0.84, 0.92))}
BATCH = 250  # AutoAttack's own


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of MNIST's four IDX files, plain or .gz")
    parser.add_argument("--images", type=int, default=100, help="images to judge, from the first of the test set on")
    parser.add_argument("--versions", nargs="+", choices=["quick", "full"], default=["quick"], help="of the verdict")
    parser.add_argument("--autoattack", action="store_true", help="run AutoAttack's standard set beside it")
    parser.add_argument("--threads", type=int, help="threads of either program [default: all]")
    parser.add_argument("--adapter", default="cpu", help="where the program computes")
    parser.add_argument("--binary", default=str(ROOT / "target" / "release" / "pgn-wgpu"))
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target" / "advertorch")
    return parser.parse_args()


def fetched(out):
    """The package's archive, from an earlier call or from PyPI."""
    archive = out / ARCHIVE
    if not archive.exists():
        download(out)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise SystemExit(f"{archive} has the SHA-256 {found}, expected is {SHA256}; remove it, and it is fetched anew")
    return archive


def download(out):
    """The archive into a folder. Only in a file of requirements can pip be told its SHA-256."""
    wanted = out / "requirements.txt"
    wanted.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "advertorch"]
    if subprocess.run([*pip, "--dest", out, "--requirement", wanted]).returncode:
        raise SystemExit(f"pip cannot fetch {PACKAGE}")


def lenet5(archive, which):
    """The network with the package's weights."""
    import torch
    from torch import nn

    net = nn.Sequential()
    for name, layer in [("conv1", nn.Conv2d(1, 32, 3, padding=1)), ("relu1", nn.ReLU()), ("maxpool1", nn.MaxPool2d(2)),
                        ("conv2", nn.Conv2d(32, 64, 3, padding=1)), ("relu2", nn.ReLU()), ("maxpool2", nn.MaxPool2d(2)),
                        ("flatten", nn.Flatten()), ("linear1", nn.Linear(7 * 7 * 64, 200)), ("relu3", nn.ReLU()),
                        ("linear2", nn.Linear(200, 10))]:
        net.add_module(name, layer)
    with tarfile.open(archive) as files:
        member = next(file for file in files if file.name.endswith(WEIGHTS.format(which)))
        net.load_state_dict(torch.load(files.extractfile(member), map_location="cpu", weights_only=True))
    return net.eval().requires_grad_(False)


def write_onnx(net, path):
    import inspect

    import torch

    # Newer versions of PyTorch have two exporters.
    tracing = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    torch.onnx.export(net, torch.zeros(1, 1, 28, 28), str(path), input_names=["images"], output_names=["logits"],
                      dynamic_axes={"images": {0: "n"}, "logits": {0: "n"}}, **tracing)


def mnist(folder):
    """Test images `[10000, 28, 28]` and labels, as bytes."""
    import numpy as np

    def read(name, head):
        packed, plain = folder / f"{name}.gz", folder / name
        if not packed.exists() and not plain.exists():
            raise SystemExit(f"{folder} has no {name}, packed or not: DATA= must name the folder of MNIST's IDX files")
        content = gzip.decompress(packed.read_bytes()) if packed.exists() else plain.read_bytes()
        return np.frombuffer(content, np.uint8, offset=head)

    labels = read("t10k-labels-idx1-ubyte", 8)
    return read("t10k-images-idx3-ubyte", 16).reshape(len(labels), 28, 28), labels


def run(args, *command):
    """The program with these arguments; the seconds that it took."""
    environment = {**os.environ, **({"RAYON_NUM_THREADS": str(args.threads)} if args.threads else {})}
    began = time.time()
    done = subprocess.run([args.binary, *map(str, command)], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr.strip()}")
    return time.time() - began


def accuracy(args, model, images, labels):
    """The share of all images that the program classifies correctly."""
    import numpy as np

    given, logits = args.out / "images.npy", args.out / "logits.npy"
    np.save(given, images[:, None].astype(np.float32) / 255)
    run(args, "predict", model, "--images", given, "--save", logits, "--force", "--quiet", "--adapter", args.adapter)
    return float((np.load(logits).argmax(1) == labels).mean())


def verdict(args, model, version, set_of_images):
    """Robust accuracy, which images stand, the seconds, and the version's warnings."""
    folder, file = args.out / f"{model.stem}-{version}-{args.images}", args.out / "verdict.csv"
    # A verdict goes on from the pieces in its folder, and those would be an earlier build's.
    shutil.rmtree(folder, ignore_errors=True)
    seconds = run(args, "verdict", model, "--dataset", "npy", "--data", set_of_images, "--norm", "linf", "--epsilon", EPSILON,
                  "--version", version, "--out", folder, "--csv", file, "--force", "--adapter", args.adapter)
    report = json.loads((folder / "verdict.json").read_text())
    with open(file) as lines:
        rows = list(csv.DictReader(lines))
    return report, [row["robust"] == "true" for row in rows], seconds


def by_autoattack(net, images, labels, threads):
    """Which images stand against AutoAttack's standard set in PyTorch, and the seconds."""
    import torch
    from pyautoattack.autoattack import AutoAttack

    if threads:
        torch.set_num_threads(threads)
    x, y = torch.from_numpy(images[:, None].astype("float32") / 255), torch.from_numpy(labels.astype("int64"))
    began = time.time()
    attack = AutoAttack(net, norm="Linf", eps=EPSILON, version="standard", seed=0)
    moved, _ = attack.run_standard_evaluation(x, y, batch_size=BATCH)
    assert (moved - x).abs().max() <= EPSILON + 1e-6 and moved.min() >= 0 and moved.max() <= 1
    stands = (net(x).argmax(1) == y) & (net(moved).argmax(1) == y)
    return stands.tolist(), time.time() - began


def judge(args, which, archive, images, labels):
    """The rows of one network; sentences about what is not as published."""
    import numpy as np

    title, published, (least, most) = NETWORKS[which]
    net, model, problems = lenet5(archive, which), args.out / f"{which}.onnx", []
    write_onnx(net, model)
    clean = accuracy(args, model, images, labels)
    if round(clean, 4) != published:
        problems.append(f"{title}: accuracy {clean:.4f}, published is {published:.4f}")
    first = args.out / "first.npz"
    np.savez(first, x_test=images[:args.images], y_test=labels[:args.images])
    rows = [(version, *verdict(args, model, version, first)[1:]) for version in args.versions]
    for version, stands, _ in rows:
        share = sum(stands) / len(stands)
        if not least <= share <= most:
            problems.append(f"{title}: robust accuracy {share:.4f} ({version}), expected is {least} to {most}")
    theirs = by_autoattack(net, images[:args.images], labels[:args.images], args.threads) if args.autoattack else None
    rows += [("AutoAttack", *theirs)] if theirs else []
    for version, stands, seconds in rows:
        apart = sum(a != b for a, b in zip(stands, theirs[0])) if theirs else ""
        print(f"| {title} | {clean:.4f} | {version} | {sum(stands) / len(stands):.4f} | {apart} | {seconds:.0f} |", flush=True)
    return problems


def main():
    args = arguments()
    # PyTorch's remark about its older exporter.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    args.out.mkdir(parents=True, exist_ok=True)
    images, labels = mnist(pathlib.Path(args.data))
    archive = fetched(args.out)
    print(f"LeNet5 of {PACKAGE}, the first {args.images} test images of MNIST, Linf {EPSILON}\n")
    print("| network | accuracy on 10,000 | version | robust accuracy | judged otherwise than by AutoAttack | seconds |")
    print("| --- | --- | --- | --- | --- | --- |")
    problems = [problem for which in NETWORKS for problem in judge(args, which, archive, images, labels)]
    print("\nall is as published" if not problems else "\nmissed:\n- " + "\n- ".join(problems))
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
