#!/usr/bin/env python3
"""Our attacks beside the public AutoAttack (PyPI `pyautoattack`, Croce and Hein 2020) in PyTorch on the CPU.

    scripts/parity.py MODEL --data DIR [--limit 100] [--norms l2 linf] [--attacks apgd-ce apgd-t fab-t square]

MODEL is a run folder or a model.safetensors of an all-convolutional classifier. The program attacks images of
the test set, as `--limit` chooses them, and saves them. AutoAttack then attacks the same images on the same weights with the same budget, each
attack alone. An image is robust if PyTorch classifies it correctly before and after the attack.

One row per norm and attack: robust accuracy of both, images that they judge differently, seconds of both, of the
program the whole command. The row `all` counts an image as robust if every attack left it so. With --verdict, the
program's verdicts `full` and `quick` are compared with AutoAttack's standard set instead. Every attack then gets the images
that still stand, and the seconds are processor time. The exit code is 1

- if the two robust accuracies of `all` differ by more than one image, or one image in a hundred is judged differently;
- with --verdict, if the quick verdict is more than 0.01 off;
- if an image of ours leaves the box or the ball, or PyTorch judges it differently from the program.

The first call makes a virtual environment in target/parity-venv: torch, numpy, safetensors and pyautoattack from PyPI,
2.5 GB on Linux, where PyPI's torch comes with CUDA. Set PIP_INDEX_URL or PIP_EXTRA_INDEX_URL for a smaller one.
"""

import argparse
import csv
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import time

import environment

ROOT = pathlib.Path(__file__).resolve().parents[1]
VENV = ROOT / "target" / "parity-venv"
# torch 2.2 is the last series for NumPy 1, with which AutoAttack was tested.
PACKAGES = ["torch==2.2.2", "numpy<2", "safetensors==0.8.0", "pyautoattack==0.2.0"]
MODULES = ["torch", "numpy", "safetensors", "pyautoattack"]

# Which of our options each attack reads, beside epsilon and norm. Those that start at the images take no seed.
BUDGETS = {
    "fgm": [],
    "apgd-ce": ["iterations", "seed"],
    "apgd-dlr": ["iterations", "seed"],
    "apgd-t": ["iterations", "targets", "seed"],
    "fab-t": ["iterations", "targets"],
    "square": ["queries", "seed"],
}
STANDARD = ["apgd-ce", "apgd-t", "fab-t", "square"]
BATCH = 250  # AutoAttack's own
RADIUS_SLACK = 1e-5  # rounding of a norm in float32


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="run folder or model.safetensors")
    parser.add_argument("--data", required=True, help="folder of the data set, as --data of pgn-wgpu")
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--limit", type=int, default=100, help="images of the test set")
    parser.add_argument("--norms", nargs="+", choices=["l2", "linf"], default=["l2", "linf"])
    parser.add_argument("--attacks", nargs="+", choices=[*BUDGETS][1:], default=STANDARD)
    parser.add_argument("--epsilon-l2", type=float, default=0.5)
    parser.add_argument("--epsilon-linf", type=float, default=4 / 255)
    parser.add_argument("--iterations", type=int, default=100, help="of APGD and FAB")
    parser.add_argument("--targets", type=int, default=9, help="classes that apgd-t and fab-t aim at")
    parser.add_argument("--queries", type=int, default=5000, help="of Square")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verdict", action="store_true", help="compare whole verdicts instead of single attacks")
    parser.add_argument("--threads", type=int, default=1, help="threads of either program")
    parser.add_argument("--adapter", default="cpu", help="where ours computes")
    parser.add_argument("--binary", default=str(ROOT / "target" / "release" / "pgn-wgpu"))
    parser.add_argument("--out", default=str(ROOT / "target" / "parity-autoattack"), help="folder of the attacked images")
    return parser.parse_args()


def load_classifier(path, side):
    """The classifier in PyTorch, with its averaged weights; its width is read off the first layer."""
    from safetensors.torch import load_file

    sys.path.insert(0, str(ROOT / "tests" / "golden"))
    from reference import Classifier

    path = pathlib.Path(path)
    tensors = load_file(path / "model.safetensors" if path.is_dir() else path)
    averaged = any(name.startswith("classifier_ema.") for name in tensors)
    prefix = "classifier_ema." if averaged else "classifier."
    state = {name[len(prefix):]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    if "convs.0.weight" not in state:
        raise SystemExit(f"{path} has no {prefix}convs.0.weight: give a model of an all-convolutional classifier")
    first, last = state["convs.0.weight"], state[f"convs.{len(state) // 2 - 1}.weight"]
    classifier = Classifier(side, first.shape[1], last.shape[0], first.shape[0] / 64)
    classifier.load_state_dict(state)
    return classifier.eval().requires_grad_(False)


def ours(args, norm, epsilon, attack):
    """The attacked images of the program, and the seconds of the command."""
    from safetensors.torch import load_file

    folder = pathlib.Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{norm}-{attack}.safetensors"
    command = [args.binary, "attack", "--quiet", "--adapter", args.adapter, "--model", args.model,
               "--dataset", args.dataset, "--data", args.data, "--limit", str(args.limit), "--attack", attack,
               "--norm", norm, "--save", str(file)]
    # FAB looks for the smallest perturbation, whatever the radius.
    command += ["--epsilon", repr(epsilon)] if attack != "fab-t" else []
    for option in BUDGETS[attack]:
        command += [f"--{option}", str(getattr(args, option))]
    file.unlink(missing_ok=True)
    began = time.time()
    done = subprocess.run(command, capture_output=True, text=True,
                          env={**os.environ, "RAYON_NUM_THREADS": str(args.threads)})
    seconds = time.time() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr.strip()}")
    return load_file(file), seconds


def theirs(args, norm, epsilon, attack, classifier):
    """AutoAttack's attack as its standard version sets it up."""
    from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
    from pyautoattack.fab_pt import FABAttack_PT
    from pyautoattack.square import SquareAttack

    shared = {"norm": {"l2": "L2", "linf": "Linf"}[norm], "n_restarts": 1, "eps": epsilon, "seed": args.seed,
              "device": "cpu", "verbose": False}
    if attack == "square":
        return SquareAttack(classifier, p_init=0.8, n_queries=args.queries, resc_schedule=False, **shared)
    shared["n_iter"] = args.iterations
    if attack == "fab-t":
        return FABAttack_PT(classifier, targeted=True, n_target_classes=args.targets, **shared)
    if attack == "apgd-t":
        return APGDAttack_targeted(classifier, n_target_classes=args.targets, **shared)
    return APGDAttack(classifier, loss={"apgd-ce": "ce", "apgd-dlr": "dlr"}[attack], **shared)


def run_theirs(attack, images, labels):
    """Their images, batch by batch, and the seconds."""
    import torch

    began, parts = time.time(), []
    for at in range(0, len(images), BATCH):
        part = attack.perturb(images[at:at + BATCH].clone(), labels[at:at + BATCH].clone())
        parts.append(part.detach())
    return torch.cat(parts) if parts else images.clone(), time.time() - began


def right(classifier, images, labels):
    """Which images the classifier gets right."""
    import torch

    with torch.no_grad():
        parts = [classifier(images[at:at + BATCH]).argmax(1) for at in range(0, len(images), BATCH)]
    return torch.cat(parts) == labels


def lengths(images, moved, norm):
    """How far each image was moved."""
    difference = (moved.double() - images.double()).flatten(1)
    return difference.norm(dim=1, p=2 if norm == "l2" else float("inf"))


def within(images, moved, norm, epsilon):
    """The moved images, but the originals of those that were moved farther than epsilon."""
    near = lengths(images, moved, norm) <= epsilon + RADIUS_SLACK
    return moved.where(near[:, None, None, None], images)


def check(name, file, norm, epsilon, robust):
    """Sentences about what our file claims and PyTorch does not confirm."""
    adversarial, problems = file["adversarial"], []
    # So that NaN is a problem too.
    if not (adversarial.min() >= 0 and adversarial.max() <= 1):
        problems.append(f"{name}: an image leaves the box [0, 1]")
    longest = lengths(file["images"], adversarial, norm).max().item()
    if not longest <= epsilon + RADIUS_SLACK:
        problems.append(f"{name}: an image is moved by {longest:.6f}, beyond epsilon {epsilon:.6f}")
    claimed = ~file["fooled"].bool() & ~file["already_wrong"].bool()
    if not name.endswith("fab-t") and (claimed != robust).any():
        problems.append(f"{name}: PyTorch judges {int((claimed != robust).sum())} of our images differently")
    return problems


def line(norm, attack, robust_ours, robust_theirs, seconds):
    count = len(robust_ours)
    print(f"| {norm} | {attack} | {robust_ours.sum().item() / count:.4f} | {robust_theirs.sum().item() / count:.4f} "
          f"| {int((robust_ours != robust_theirs).sum())} | {seconds[0]:.1f} | {seconds[1]:.1f} |", flush=True)


def compare(args, norm, epsilon):
    """The rows of one norm; sentences about what misses its promise."""
    import torch

    problems, classifier, clean, all_ours, all_theirs, seconds = [], None, None, None, None, [0.0, 0.0]
    for attack in args.attacks:
        print(f"parity: {norm} {attack}", file=sys.stderr, flush=True)
        file, own_seconds = ours(args, norm, epsilon, attack)
        images, labels = file["images"], file["labels"].long()
        if classifier is None:
            classifier = load_classifier(args.model, images.shape[2])
            clean = right(classifier, images, labels)
            all_ours, all_theirs = clean.clone(), clean.clone()
        if attack == "fab-t":
            file["adversarial"] = within(images, file["adversarial"], norm, epsilon)
        robust_ours = clean & right(classifier, file["adversarial"], labels)
        problems += check(f"{norm} {attack}", file, norm, epsilon, robust_ours)
        made, their_seconds = run_theirs(theirs(args, norm, epsilon, attack, classifier), images[clean], labels[clean])
        robust_theirs = clean.clone()
        robust_theirs[clean] = right(classifier, within(images[clean], made, norm, epsilon), labels[clean])
        line(norm, attack, robust_ours, robust_theirs, (own_seconds, their_seconds))
        all_ours, all_theirs = all_ours & robust_ours, all_theirs & robust_theirs
        seconds = [seconds[0] + own_seconds, seconds[1] + their_seconds]
    line(norm, "all", all_ours, all_theirs, seconds)
    apart, differently = abs(int(all_ours.sum() - all_theirs.sum())), int((all_ours != all_theirs).sum())
    if apart > 1:
        problems.append(f"{norm}: robust accuracies differ by {apart} images")
    if differently > max(1, len(clean) // 100):
        problems.append(f"{norm}: {differently} images are judged differently")
    return problems


def verdict(args, norm, epsilon, version, labels):
    """Which images a verdict of the program finds robust, and its processor time."""
    folder = pathlib.Path(args.out) / f"{norm}-{version}"
    shutil.rmtree(folder, ignore_errors=True)
    table = folder / "images.csv"
    command = [args.binary, "verdict", args.model, "--quiet", "--adapter", args.adapter, "--dataset", args.dataset, "--data",
               args.data, "--limit", str(args.limit), "--norm", norm, "--epsilon", repr(epsilon), "--version", version,
               "--out", str(folder), "--csv", str(table)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True,
                          env={**os.environ, "RAYON_NUM_THREADS": str(args.threads)})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr.strip()}")
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    if [int(row["label"]) for row in rows] != labels:
        raise SystemExit("`verdict` and `attack` do not take the same images")
    return [row["robust"] in ("1", "true") for row in rows], after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def standard(args, norm, epsilon, classifier, images, labels):
    """The same of AutoAttack's standard set, each attack on the images that stand."""
    before = time.process_time()
    robust = right(classifier, images, labels)
    for name in STANDARD:
        stand = robust.nonzero().flatten()
        if len(stand) == 0:
            break
        made, _ = run_theirs(theirs(args, norm, epsilon, name, classifier), images[stand], labels[stand])
        robust[stand] = right(classifier, within(images[stand], made, norm, epsilon), labels[stand])
        print(f"parity: {norm} {name} leaves {int(robust.sum())}", file=sys.stderr, flush=True)
    return robust.tolist(), time.process_time() - before


def compare_verdicts(args, norm, epsilon):
    """The row of one norm; sentences about what misses its promise."""
    file, _ = ours(args, norm, epsilon, "fgm")
    images, labels = file["images"], file["labels"].long()
    classifier = load_classifier(args.model, images.shape[2])
    full, full_seconds = verdict(args, norm, epsilon, "full", labels.tolist())
    quick, quick_seconds = verdict(args, norm, epsilon, "quick", labels.tolist())
    reference, seconds = standard(args, norm, epsilon, classifier, images, labels)
    count, differently = len(labels), sum(a != b for a, b in zip(full, reference))
    accuracy = [sum(robust) / count for robust in (reference, full, quick)]
    print(f"| {norm} | {accuracy[0]:.4f} | {accuracy[1]:.4f} | {accuracy[2]:.4f} | {differently} | {seconds:.1f} "
          f"| {full_seconds:.1f} | {quick_seconds:.1f} | {seconds / full_seconds:.1f} | {seconds / quick_seconds:.1f} |",
          flush=True)
    problems = []
    if abs(sum(full) - sum(reference)) > 1:
        problems.append(f"{norm}: robust accuracies differ by {abs(sum(full) - sum(reference))} images")
    if differently > max(1, count // 100):
        problems.append(f"{norm}: {differently} images are judged differently")
    if abs(accuracy[2] - accuracy[0]) > 0.01 + 1e-9:
        problems.append(f"{norm}: the quick verdict is {accuracy[2] - accuracy[0]:+.4f} off")
    return problems


VERDICTS = ("| norm | AutoAttack | full | quick | images judged differently | seconds, AutoAttack | full | quick "
            "| times as fast, full | quick |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
ATTACKS = ("| norm | attack | robust, ours | robust, AutoAttack | images judged differently | seconds, ours "
           "| seconds, AutoAttack |\n| --- | --- | --- | --- | --- | --- | --- |")


def main():
    args = arguments()
    environment.go_on_within(VENV, PACKAGES, MODULES)
    import torch

    torch.set_num_threads(args.threads)
    print(f"{args.model}: {args.limit} test images of {args.dataset}, {args.iterations} iterations, "
          f"{args.targets} targets, {args.queries} queries, {args.threads} threads\n")
    print(VERDICTS if args.verdict else ATTACKS, flush=True)
    epsilons = {"l2": args.epsilon_l2, "linf": args.epsilon_linf}
    run = compare_verdicts if args.verdict else compare
    problems = [problem for norm in args.norms for problem in run(args, norm, epsilons[norm])]
    print("\nparity holds" if not problems else "\nparity misses:\n- " + "\n- ".join(problems))
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
