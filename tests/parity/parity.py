"""Compares our attacks' images with independent libraries' on the same weights and the same images.

    python parity.py MODEL.safetensors CIFAR10_DIR OUTPUTS_DIR [--epsilon 0.5] [--converged]

OUTPUTS_DIR holds `fgm`, `pgd`, `mim`, `deepfool` and `cw.safetensors`, as many as were made, each with `images`,
`adversarial`, `labels`, `l2` and `fooled`. The images must be different ones of CIFAR-10's test file, with its labels. Prints a
table and ends with exit code 1 if a row misses what it promises:

- same algorithm: accuracy within one percentage point; images within 1e-4 per pixel but for a few, no more than twice
  those (plus two) on which the library in float32 misses itself in float64: a pre-activation at leaky ReLU's kink
  takes the other slope when rounding says so, and turns the gradient of one image in a hundred;
- minimum-norm attacks at equal budget: ours fools at least the images that each library's fools, but for 1 % of all images; our
  mean L2 over the images that are classified correctly and that both fool is at most 2 % above the library's;
- every file: inside the box, within epsilon, and `l2` and `fooled` confirmed by a forward pass in PyTorch.
"""

import argparse
import copy
import pathlib
import sys
import time

import numpy as np
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "golden"))

from libraries import CONVERGED_CW, LIBRARY_ATTACKS
from reference import Classifier, l2_norms

FIXED_RADIUS = ("fgm", "pgd", "mim")
ACCURACY_TOLERANCE, PIXEL_TOLERANCE, NORM_TOLERANCE, RADIUS_SLACK = 0.01, 1e-4, 0.02, 1e-4
# The share of all images that a library's minimum-norm attack may fool and ours may not.
THEIRS_ALONE = 0.01
RECORD = 1 + 3 * 32 * 32


def load_classifier(path):
    """Our classifier in PyTorch, its EMA weights where the file has them; width is read off the first layer."""
    tensors = load_file(path)
    prefix = "classifier_ema." if any(name.startswith("classifier_ema.") for name in tensors) else "classifier."
    state = {name[len(prefix):]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    if "convs.0.weight" not in state:
        raise SystemExit(f"{path} has no classifier.convs.0.weight: give a model.safetensors of pgn-wgpu")
    first, last = state["convs.0.weight"], state[f"convs.{len(state) // 2 - 1}.weight"]
    classifier = Classifier(32, first.shape[1], last.shape[0], first.shape[0] / 64)
    classifier.load_state_dict(state)
    return classifier.eval().requires_grad_(False)


def check_images(ours, data):
    """Our files must show test images of CIFAR-10 with their labels, none of them twice."""
    records = np.fromfile(pathlib.Path(data) / "test_batch.bin", dtype=np.uint8).reshape(-1, RECORD)
    known = {record.tobytes() for record in records}
    bytes_of_pixels = ours["images"].flatten(1) * 255
    if (bytes_of_pixels - bytes_of_pixels.round()).abs().max() > 255e-6:
        raise SystemExit("the images have pixels that are not bytes; give files that `pgn-wgpu attack --save` wrote")
    shown = torch.cat([ours["labels"].flatten()[:, None], bytes_of_pixels.round()], dim=1).numpy().astype(np.uint8)
    shown = {record.tobytes() for record in shown}
    if len(shown) < len(ours["images"]) or not shown <= known:
        raise SystemExit(f"the images are not {len(ours['images'])} different ones of {data}/test_batch.bin with their labels")


def correct(classifier, images, labels):
    with torch.no_grad():
        return classifier(images).argmax(1) == labels


def largest_difference(a, b):
    """Per image, the largest difference of a pixel."""
    return (a.double() - b.double()).abs().flatten(1).max(dim=1).values


def rounding(attack, ours, classifier, epsilon):
    """Images, of those that are right without an attack, on which the first library with our algorithm differs by more
    than the tolerance between float32 and float64: what no other implementation can be asked to beat."""
    entry = next(e for e in LIBRARY_ATTACKS if e.attack == attack and e.same)
    images, labels = ours["images"], ours["labels"].long()
    single = entry.run(classifier, images.clone(), labels, epsilon).detach()
    double = entry.run(copy.deepcopy(classifier).double(), images.double(), labels, epsilon).detach()
    clean = correct(classifier, images, labels)
    return int((largest_difference(single[clean], double[clean]) > PIXEL_TOLERANCE).sum())


def check_file(name, ours, classifier, epsilon):
    """Sentences about what our file claims and PyTorch does not confirm."""
    adversarial, problems = ours["adversarial"], []
    norms = l2_norms(adversarial - ours["images"])
    # So that NaN is a problem too.
    if not (adversarial.min() >= 0 and adversarial.max() <= 1):
        problems.append("leaves the box [0, 1]")
    if name in FIXED_RADIUS and not norms.max() <= epsilon + RADIUS_SLACK:
        problems.append(f"reaches L2 {norms.max():.5f}, above epsilon {epsilon}")
    if not (norms - ours["l2"]).abs().max() <= 1e-4:
        problems.append(f"reports L2 that is off by {(norms - ours['l2']).abs().max():.1e}")
    clean = correct(classifier, ours["images"], ours["labels"])
    fooled = ~correct(classifier, adversarial, ours["labels"])
    wrong = (clean & fooled) != ours["fooled"].bool()
    if wrong.any():
        problems.append(f"has {wrong.sum()} images that PyTorch judges otherwise")
    return [f"{name}.safetensors {problem}" for problem in problems]


def compare(entry, ours, classifier, epsilon):
    """One row. An image counts as accurate if it is right before and after the attack; L2 is over those that are
    right before and that both attacks fool."""
    images, labels, adversarial = ours["images"], ours["labels"].long(), ours["adversarial"]
    began = time.time()
    theirs = entry.run(classifier, images.clone(), labels, epsilon).detach()
    seconds = time.time() - began
    clean = correct(classifier, images, labels)
    held_ours = clean & correct(classifier, adversarial, labels)
    held_theirs = clean & correct(classifier, theirs, labels)
    both = clean & ~held_ours & ~held_theirs
    # Ours leaves images that are wrong from the start as they are.
    off = largest_difference(adversarial[clean], theirs[clean])
    return {
        "entry": entry,
        "accuracy": (held_ours.float().mean().item(), held_theirs.float().mean().item()),
        "pixels": off.max().item(),
        "images_off": int((~(off <= PIXEL_TOLERANCE)).sum()),
        "l2": (l2_norms(adversarial - images)[both].mean().item(), l2_norms(theirs - images)[both].mean().item()),
        "both": int(both.sum()),
        "theirs_alone": int((clean & held_ours & ~held_theirs).sum()),
        "images": len(images),
        "seconds": seconds,
    }


def verdicts(rows, own_rounding):
    """Sentences about the rows that miss their promise."""
    problems = []
    for row in rows:
        entry, (ours, theirs) = row["entry"], row["accuracy"]
        if entry.same and abs(ours - theirs) > ACCURACY_TOLERANCE:
            problems.append(f"{entry.attack} and {entry.library} differ by {abs(ours - theirs):.3f} in accuracy")
        if entry.same and row["images_off"] > 2 * own_rounding[entry.attack] + 2:
            problems.append(f"{row['images_off']} {entry.attack} images differ from {entry.library}'s by more than "
                            f"{PIXEL_TOLERANCE:g}, {own_rounding[entry.attack]} between float32 and float64")
        if entry.attack not in FIXED_RADIUS and entry is not CONVERGED_CW:
            if row["theirs_alone"] > THEIRS_ALONE * row["images"]:
                problems.append(f"{row['theirs_alone']} of {row['images']} images are fooled by {entry.library}'s {entry.attack} and "
                                "not by ours")
            if row["both"] == 0:
                problems.append(f"{entry.attack} and {entry.library}'s fool no image both, so no distances can be compared")
                continue
            ours, theirs = row["l2"]
            if not ours <= (1 + NORM_TOLERANCE) * theirs:
                problems.append(f"{entry.attack}'s mean L2 is {100 * (ours / theirs - 1):.1f} % above {entry.library}'s")
    return problems


def show(rows, own_rounding, clean_accuracy, count):
    """The table, in Markdown."""
    print(f"\n{count} images, clean accuracy {clean_accuracy:.3f}\n")
    print("| attack | library | same algorithm | accuracy ours / theirs "
          "| largest pixel difference (images above 1e-4; by rounding alone) "
          "| mean L2 ours / theirs (images) | seconds | what the library does |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        entry, accuracy, l2 = row["entry"], row["accuracy"], row["l2"]
        pixels = ""
        if entry.attack in own_rounding:
            pixels = f"{row['pixels']:.1e} ({row['images_off']}; {own_rounding[entry.attack]})"
        print(f"| {entry.attack} | {entry.library} | {'yes' if entry.same else 'no'} "
              f"| {accuracy[0]:.3f} / {accuracy[1]:.3f} | {pixels} | {l2[0]:.4f} / {l2[1]:.4f} ({row['both']}) "
              f"| {row['seconds']:.0f} | {entry.note} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("outputs")
    parser.add_argument("--epsilon", type=float, default=0.5, help="the radius of FGM, PGD and MIM")
    parser.add_argument("--converged", action="store_true", help="also run C&W for 9 x 1000 iterations (half an hour)")
    args = parser.parse_args()
    torch.manual_seed(0)
    classifier = load_classifier(args.model)
    files = {path.stem: load_file(path) for path in sorted(pathlib.Path(args.outputs).glob("*.safetensors"))}
    entries = [e for e in LIBRARY_ATTACKS + [CONVERGED_CW] * args.converged if e.attack in files]
    if not entries:
        raise SystemExit(f"{args.outputs} has none of fgm, pgd, mim, deepfool, cw .safetensors")
    problems, rows, own_rounding = [], [], {}
    for name in dict.fromkeys(entry.attack for entry in entries):
        check_images(files[name], args.data)
        problems += check_file(name, files[name], classifier, args.epsilon)
        if name in FIXED_RADIUS:
            own_rounding[name] = rounding(name, files[name], classifier, args.epsilon)
    for entry in entries:
        print(f"{entry.attack}: {entry.library}", file=sys.stderr, flush=True)
        rows.append(compare(entry, files[entry.attack], classifier, args.epsilon))
    first = files[entries[0].attack]
    clean_accuracy = correct(classifier, first["images"], first["labels"]).float().mean().item()
    show(rows, own_rounding, clean_accuracy, len(first["images"]))
    problems += verdicts(rows, own_rounding)
    print("\nparity holds" if not problems else "\nparity misses:\n- " + "\n- ".join(problems))
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
