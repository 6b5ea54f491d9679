"""Compares what make_defenses.py computes for TRADES and MART with the authors' own code, in float64.

    python3 tests/golden/beside_public.py [--trades trades.py] [--mart mart.py]

Without the files it fetches them from GitHub at the commits below. Either way their SHA-256 is checked. Both programs get the same
network, images, labels and random start, 0.001 times normal numbers as the authors have it. It prints the largest differences of the
attacked pixels and of the loss, and fails if one is larger than what is known about the two programs (`KNOWN`).
"""

import argparse
import hashlib
import importlib.util
import pathlib
import sys
import tempfile
import urllib.request

import torch

import make_defenses as ours

PUBLIC = {
    "trades": (
        "https://raw.githubusercontent.com/yaodongyu/TRADES/%s/trades.py",
        "6e8e11b7c281371c2f027ffadfbaea80361f09de",
        "6f9ffac27d33b1c3a3634d7b390b9ae1a724781de84e4256c49f037b6f8a8567",
    ),
    "mart": (
        "https://raw.githubusercontent.com/YisenWang/MART/%s/mart.py",
        "2d83e17b381dd2ee52223695e517bf6d5ff09c2c",
        "58f159bf2240ac24b0f2e765f00dfb8581d1d9c56381dd52af380d791d60fb17",
    ),
}
# Largest differences of pixels and of the loss. In L2 the authors' `renorm` adds 1e-7 to a norm. MART's authors add up to 1e-4 to
# probabilities, so that no logarithm is infinite.
KNOWN = {"trades.linf": (1e-12, 1e-10), "trades.l2": (1e-7, 1e-8), "mart.linf": (1e-12, 5e-4)}


def public(defense, given):
    """The authors' module, from a file that is given or fetched."""
    address, commit, expected = PUBLIC[defense]
    if given:
        text = pathlib.Path(given).read_bytes()
    else:
        text = urllib.request.urlopen(address % commit).read()
    found = hashlib.sha256(text).hexdigest()
    if found != expected:
        sys.exit(f"{given or address % commit} has SHA-256 {found} and not {expected}; it is another version")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, f"{defense}.py")
        path.write_bytes(text)
        spec = importlib.util.spec_from_file_location(f"public_{defense}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return getattr(module, f"{defense}_loss")


def theirs(loss, case, net, x, labels, start):
    """The attacked images and the loss of the authors' code, which draws `start` in place of random numbers."""
    seen = []
    hook = net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    cuda, randn = torch.Tensor.cuda, torch.randn
    torch.Tensor.cuda, torch.randn = (lambda self: self), (lambda _: start.clone())
    epsilon = ours.EPSILON[case.norm]
    try:
        value = loss(
            net,
            x,
            labels,
            torch.optim.SGD(net.parameters(), lr=0.1),
            step_size=2.5 * epsilon / ours.ITERATIONS,
            epsilon=epsilon,
            perturb_steps=ours.ITERATIONS,
            beta=ours.BETA if case.defense == "trades" else ours.LAMBDA,
            distance={"linf": "l_inf", "l2": "l_2"}[case.norm],
        )
    finally:
        torch.Tensor.cuda, torch.randn = cuda, randn
        hook.remove()
    attacked = [images for images in seen if not torch.equal(images, x)]
    return attacked[-1], value.item()


def compared(loss, case):
    """The largest differences of the attacked pixels and of the loss."""
    x, labels = ours.data(case, 0)
    start = ours.noise(case, 0)
    moved, value = theirs(loss, case, ours.network(case).double().train(), x, labels, start)
    net = ours.network(case).double().train()
    own_moved = ours.attacked(case, net, x, labels, start)
    own_value = ours.objective(case, net, x, own_moved, labels)[0].item()
    return (own_moved - moved).abs().max().item(), abs(own_value - value)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trades", help="the authors' trades.py")
    parser.add_argument("--mart", help="the authors' mart.py")
    arguments = parser.parse_args()
    losses = {defense: public(defense, getattr(arguments, defense)) for defense in PUBLIC}
    failed = False
    for case in ours.CASES:
        known = KNOWN.get(f"{case.defense}.{case.norm}")
        if not known or case.awp:
            continue
        found = compared(losses[case.defense], case)
        good = all(difference <= most for difference, most in zip(found, known))
        failed |= not good
        print(f"{case.name}: pixels {found[0]:.1e}, loss {found[1]:.1e}, {'as known' if good else 'LARGER THAN KNOWN'}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
