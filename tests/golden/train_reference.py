"""Trains the PyTorch reference on CIFAR-10's binary files: an independent point to hold the Rust trainer against.

    python train_reference.py DATA_DIR natural --epochs 8 --save natural.safetensors
    python train_reference.py DATA_DIR pgn --epochs 4 --lr 1e-3 --c-l 1 --from natural.safetensors

Defaults: width 0.125 for both networks, batch 128, He initialisation, horizontal flips and reflect-pad-4 crops.
Test figures use the EMA weights.
"""

import argparse
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from reference import Adam, Classifier, Ema, Generator, compose, fgm, gradient_image, he_init, l2_norms
from reference import natural_step, pgn_step

SIDE, CHANNELS, CLASSES, BATCH, PAD = 32, 3, 10, 128, 4


def read_cifar10(folder, pattern):
    """All records of the matching files: images [N, 3, 32, 32] in [0, 1] and labels."""
    files = sorted(pathlib.Path(folder).glob(pattern))
    if not files:
        raise SystemExit(f"{folder} has no {pattern}: give the folder of CIFAR-10's binary files")
    records = np.concatenate([np.fromfile(f, dtype=np.uint8).reshape(-1, 3073) for f in files])
    return torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).copy()).float() / 255, \
        torch.from_numpy(records[:, 0].astype(np.int64))


def augment(images):
    """Horizontal flip with probability 1/2, then a random crop of the reflect-padded image."""
    flip = torch.rand(len(images)) < 0.5
    images = torch.where(flip[:, None, None, None], images.flip(3), images)
    padded = F.pad(images, (PAD, PAD, PAD, PAD), mode="reflect")
    corner = torch.randint(0, 2 * PAD + 1, (len(images), 2)).tolist()
    return torch.stack([p[:, r:r + SIDE, c:c + SIDE] for p, (r, c) in zip(padded, corner)])


@torch.no_grad()
def predict(classifier, images):
    return torch.cat([classifier(batch) for batch in images.split(500)])


def accuracy(classifier, images, labels):
    return (predict(classifier, images).argmax(1) == labels).float().mean().item()


def attack_report(classifier, generator, images, labels):
    """The generator's attack on a split: accuracy, cross-entropy and mean norm, and FGM's loss at that norm."""
    x_adv = torch.cat([
        compose(x, generator(y, x, gradient_image(classifier, x, y))).detach()
        for x, y in zip(images.split(500), labels.split(500))
    ])
    norm = l2_norms(x_adv - images).mean().item()
    by_fgm = torch.cat([fgm(classifier, x, y, norm) for x, y in zip(images.split(500), labels.split(500))])
    loss = F.cross_entropy(predict(classifier, x_adv), labels)
    loss_fgm = F.cross_entropy(predict(classifier, by_fgm), labels)
    return (f"generator: accuracy {accuracy(classifier, x_adv, labels):.4f}, mean L2 {norm:.4f}, loss {loss:.4f}; "
            f"FGM at that norm: loss {loss_fgm:.4f}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("method", choices=["natural", "pgn"])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--width", type=float, default=0.125)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--generator-lr", type=float, default=2e-3)
    parser.add_argument("--c-l", type=float, default=3.0)
    parser.add_argument("--ema", type=float, default=0.99)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--from", dest="start", help="safetensors file to start from")
    parser.add_argument("--save", help="safetensors file to write: live and EMA weights")
    return parser.parse_args()


def load(path, classifier, generator):
    """Weights of an earlier run: its averaged classifier where there is one, as for any later use of a model."""
    tensors = load_file(path)

    def part(prefix):
        return {k[len(prefix):]: v for k, v in tensors.items() if k.startswith(prefix)}
    classifier.load_state_dict(part("classifier_ema.") or part("classifier."))
    if part("generator."):
        generator.load_state_dict(part("generator."))


def main():
    args = arguments()
    torch.manual_seed(args.seed)
    train, train_labels = read_cifar10(args.data, "data_batch_*.bin")
    test, test_labels = read_cifar10(args.data, "test_batch.bin")
    shape = (SIDE, CHANNELS, CLASSES, args.width)
    classifier, generator = Classifier(*shape), Generator(*shape)
    he_init(classifier, generator)
    if args.start:
        load(args.start, classifier, generator)
    adam_f, adam_g = Adam(classifier, args.lr), Adam(generator, args.generator_lr)
    ema, averaged = Ema(classifier, args.ema), Classifier(*shape)
    began = time.time()
    for epoch in range(1, args.epochs + 1):
        losses, norms = [], []
        for rows in torch.randperm(len(train)).split(BATCH):
            x, y = augment(train[rows]), train_labels[rows]
            if args.method == "natural":
                losses.append(natural_step(classifier, adam_f, x, y))
            else:
                game = pgn_step(classifier, generator, adam_f, adam_g, x, y, args.c_l)
                losses.append(game["cross_entropy"].item())
                norms.append(game["delta_norms"].mean().item())
            ema.update()
        averaged.load_state_dict(ema.weights)
        benign = accuracy(averaged, test, test_labels)
        line = f"epoch {epoch}: loss {np.mean(losses):.4f}, test accuracy {benign:.4f}"
        line += f", training mean L2 {np.mean(norms):.4f}" if norms else ""
        print(f"{line}, {time.time() - began:.0f} s", flush=True)
    if args.method == "pgn":
        print(attack_report(averaged, generator, test, test_labels))
    if args.save:
        nets = {"classifier": classifier, "classifier_ema": averaged}
        nets |= {"generator": generator} if args.method == "pgn" else {}
        save_file({f"{net}.{k}": v for net, m in nets.items() for k, v in m.state_dict().items()}, args.save)


if __name__ == "__main__":
    main()
