#!/usr/bin/env python3
"""`verdict --version smallest` beside public minimum-norm attacks, in PyTorch on the CPU.

    scripts/smallest_parity.py MODEL --data DIR [--limit 100] [--norms l2 linf]

MODEL is a run folder or a model.safetensors of an all-convolutional classifier. The program looks for the nearest
adversarial image of each of some test images and saves them. PyTorch then attacks the same images on the same weights with
DDN (adv-lib, 1,000 steps; L2), FMN (adv-lib), FAB-T (pyautoattack) and Brendel and Bethge's attack (Foolbox), which starts
at the nearest image of the others. What counts of them is the smallest distance for each image.

One row per norm and attack: images fooled, mean and median distance, seconds; then ours beside the smallest of theirs. All
distances are measured in PyTorch, of images inside the box that PyTorch misclassifies. The exit code is 1

- if our mean is more than one percent above the mean of their smallest distances;
- if an image that they fool has no adversarial image of ours;
- if an image of ours leaves the box, or PyTorch does not misclassify it.

The first call makes a virtual environment in target/smallest-parity-venv: torch, numpy, safetensors, pyautoattack, adv-lib,
foolbox and numba from PyPI, 3 GB on Linux. Set PIP_INDEX_URL or PIP_EXTRA_INDEX_URL for a smaller torch.
"""

import argparse
import csv
import os
import pathlib
import shutil
import subprocess
import sys
import time

import environment
import parity

VENV = parity.ROOT / "target" / "smallest-parity-venv"
PACKAGES = [*parity.PACKAGES, "adv-lib==0.2.8", "foolbox==3.3.4", "numba==0.60.0"]
MODULES = [*parity.MODULES, "adv_lib", "foolbox", "numba"]

SLACK = 0.01  # how far our mean may be above theirs
BOX_SLACK = 1e-6  # rounding of a pixel in float32
TARGETS = 9  # classes that FAB-T aims at
NONE = float("inf")  # the distance of an image that was not fooled


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="run folder or model.safetensors")
    parser.add_argument("--data", required=True, help="folder of the data set, as --data of pgn-wgpu")
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--limit", type=int, default=100, help="images of the test set")
    parser.add_argument("--norms", nargs="+", choices=["l2", "linf"], default=["l2", "linf"])
    parser.add_argument("--steps", type=int, default=1000, help="of DDN, FMN and Brendel and Bethge's attack")
    parser.add_argument("--iterations", type=int, default=100, help="of FAB-T, for each of its 9 targets")
    parser.add_argument("--seed", type=int, default=0, help="of FAB-T")
    parser.add_argument("--threads", type=int, default=1, help="threads of either program")
    parser.add_argument("--adapter", default="cpu", help="where ours computes")
    parser.add_argument("--binary", default=str(parity.ROOT / "target" / "release" / "pgn-wgpu"))
    parser.add_argument("--out", default=str(parity.ROOT / "target" / "parity-smallest"), help="folder of our images")
    return parser.parse_args()


def program(args, *flags):
    """Runs the program on the chosen images; its seconds."""
    command = [args.binary, *flags, "--quiet", "--adapter", args.adapter, "--dataset", args.dataset,
               "--data", args.data, "--limit", str(args.limit), "--force"]
    began = time.time()
    done = subprocess.run(command, capture_output=True, text=True,
                          env={**os.environ, "RAYON_NUM_THREADS": str(args.threads)})
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr.strip()}")
    return time.time() - began


def originals(args):
    """The images and labels that the program takes, from an attack that leaves them alone."""
    from safetensors.torch import load_file

    file = pathlib.Path(args.out) / "originals.safetensors"
    program(args, "attack", "--model", args.model, "--attack", "fgm", "--epsilon", "0", "--save", str(file))
    tensors = load_file(file)
    return tensors["images"], tensors["labels"].long()


def ours(args, norm, images):
    """Our nearest adversarial images; where there is none, the original."""
    from safetensors.torch import load_file

    folder = pathlib.Path(args.out)
    lines, saved, verdict = folder / f"{norm}.csv", folder / f"{norm}.safetensors", folder / f"{norm}-smallest"
    # A verdict goes on from the pieces in its folder, and those would be an earlier build's.
    shutil.rmtree(verdict, ignore_errors=True)
    seconds = program(args, "verdict", args.model, "--version", "smallest", "--norm", norm,
                      "--out", str(verdict), "--csv", str(lines), "--save", str(saved))
    with open(lines) as file:
        places = {int(row["index"]): at for at, row in enumerate(csv.DictReader(file))}
    tensors, nearest = load_file(saved), images.clone()
    for place, image in zip(tensors["index"].long().tolist(), tensors["adversarial"]):
        nearest[places[place]] = image
    return nearest, seconds


def distances(classifier, norm, images, labels, moved):
    """The distance of each image that is misclassified inside the box, else infinity."""
    import torch

    difference = (moved.double() - images.double()).flatten(1)
    far = difference.norm(dim=1, p=2 if norm == "l2" else float("inf"))
    inside = (moved.flatten(1).min(1).values >= -BOX_SLACK) & (moved.flatten(1).max(1).values <= 1 + BOX_SLACK)
    return torch.where(inside & ~parity.right(classifier, moved, labels), far, torch.full_like(far, NONE))


def public_attacks(args, norm, classifier):
    """The searches by name, each from images and labels to images."""
    import torch
    from adv_lib.attacks import ddn, fmn

    def fab(images, labels):
        from pyautoattack.fab_pt import FABAttack_PT

        attack = FABAttack_PT(classifier, norm={"l2": "L2", "linf": "Linf"}[norm], n_restarts=1, n_iter=args.iterations,
                              eps=1e6, seed=args.seed, targeted=True, n_target_classes=TARGETS, device="cpu", verbose=False)
        # Its own loop over targets stops at the first success; the nearest of all is wanted.
        nearest, smallest = images.clone(), torch.full((len(images),), NONE, dtype=torch.double)
        for target in range(2, TARGETS + 2):
            attack.target_class = target
            moved = attack.attack_single_run(images.clone(), labels.clone(), is_targeted=True).detach()
            far = distances(classifier, norm, images, labels, moved)
            nearest[far < smallest] = moved[far < smallest]
            smallest = torch.minimum(smallest, far)
        return nearest

    attacks = {}
    if norm == "l2":
        attacks["DDN"] = lambda images, labels: ddn(classifier, images, labels, steps=args.steps, levels=None)
    power = 2 if norm == "l2" else float("inf")
    attacks["FMN"] = lambda images, labels: fmn(classifier, images, labels, norm=power, steps=args.steps)
    attacks["FAB-T"] = fab
    return attacks


def brendel_bethge(args, norm, classifier, images, labels, starts):
    """Foolbox's attack from adversarial images."""
    import foolbox

    kinds = {"l2": foolbox.attacks.L2BrendelBethgeAttack, "linf": foolbox.attacks.LinfinityBrendelBethgeAttack}
    model = foolbox.PyTorchModel(classifier, bounds=(0, 1), device="cpu")
    attack = kinds[norm](steps=args.steps)
    return attack.run(model, images, foolbox.criteria.Misclassification(labels), starting_points=starts)


def line(norm, name, far, seconds):
    fooled = far[far < NONE]
    mean, median = (fooled.mean().item(), fooled.median().item()) if len(fooled) else (NONE, NONE)
    print(f"| {norm} | {name} | {len(fooled)} of {len(far)} | {mean:.5f} | {median:.5f} | {seconds:.1f} |", flush=True)


def theirs(args, norm, classifier, images, labels):
    """The smallest distance of each image that any of the public searches finds."""
    import torch

    smallest, nearest = torch.full((len(images),), NONE, dtype=torch.double), images.clone()

    def take(name, moved, which, began):
        nonlocal smallest
        far = torch.full_like(smallest, NONE)
        far[which] = distances(classifier, norm, images[which], labels[which], moved)
        nearest[far < smallest] = moved[(far < smallest)[which]]
        smallest = torch.minimum(smallest, far)
        line(norm, name, far, time.time() - began)

    everything = torch.ones(len(images), dtype=torch.bool)
    for name, attack in public_attacks(args, norm, classifier).items():
        print(f"parity: {norm} {name}", file=sys.stderr, flush=True)
        began = time.time()
        take(name, attack(images.clone(), labels.clone()).detach(), everything, began)
    fooled = smallest < NONE
    if fooled.any():
        print(f"parity: {norm} Brendel-Bethge", file=sys.stderr, flush=True)
        began = time.time()
        moved = brendel_bethge(args, norm, classifier, images[fooled], labels[fooled], nearest[fooled])
        take("Brendel-Bethge", moved.detach(), fooled, began)
    return smallest


def compare(args, norm, images, labels):
    """The rows of one norm; sentences about what misses its promise."""
    print(f"parity: {norm} ours", file=sys.stderr, flush=True)
    nearest, seconds = ours(args, norm, images)
    classifier = parity.load_classifier(args.model, images.shape[2])
    clean = parity.right(classifier, images, labels)
    claimed = (nearest != images).flatten(1).any(1)
    own = distances(classifier, norm, images, labels, nearest)
    problems = []
    if (claimed & (own == NONE)).any():
        count = int((claimed & (own == NONE)).sum())
        problems.append(f"{norm}: {count} of our images leave the box or are not misclassified by PyTorch")
    own = own[clean]
    line(norm, "ours", own, seconds)
    other = theirs(args, norm, classifier, images[clean], labels[clean])
    line(norm, "smallest of theirs", other, 0.0)
    both = (own < NONE) & (other < NONE)
    if not both.any():
        return [*problems, f"{norm}: no image is fooled by ours and by theirs, so no distances can be compared"]
    above = own[both].mean().item() / other[both].mean().item() - 1
    print(f"\n{norm}: our mean is {100 * above:+.2f} % beside the smallest of theirs, over {int(both.sum())} images; ours is "
          f"nearer by over a percent for {int((own < 0.99 * other).sum())}, theirs for {int((other < 0.99 * own).sum())}\n")
    if not above <= SLACK:
        problems.append(f"{norm}: our mean is {100 * above:.2f} % above")
    if ((other < NONE) & (own == NONE)).any():
        problems.append(f"{norm}: {int(((other < NONE) & (own == NONE)).sum())} images are fooled by theirs alone")
    return problems


def main():
    args = arguments()
    environment.go_on_within(VENV, PACKAGES, MODULES)
    import torch

    torch.set_num_threads(args.threads)
    pathlib.Path(args.out).mkdir(parents=True, exist_ok=True)
    print(f"{args.model}: {args.limit} test images of {args.dataset}, {args.steps} steps, {args.threads} threads\n")
    print("| norm | attack | fooled | mean | median | seconds |\n| --- | --- | --- | --- | --- | --- |")
    images, labels = originals(args)
    problems = [problem for norm in args.norms for problem in compare(args, norm, images, labels)]
    print("\nparity holds" if not problems else "\nparity misses:\n- " + "\n- ".join(problems))
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
