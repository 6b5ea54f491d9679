"""Adversarial training and honest measurement of robustness, on any GPU through wgpu and on any CPU.

>>> import pgn_wgpu
>>> model = pgn_wgpu.load("runs/natural-digits", adapter="cpu")
>>> images, labels = pgn_wgpu.digits()
>>> logits = model(images)
>>> result = model.attack(images, labels, "pgd", norm="linf", eps="8/255")
>>> result.success.shape, bool(result.norms["linf"].max() <= 8 / 255 + 1e-5)
((400,), True)

Everything computes without the interpreter's lock, and Ctrl-C ends it. :mod:`pgn_wgpu.torchattacks` and :class:`AutoAttack` have the
calls of the packages of those names.
"""

from . import torchattacks
from ._autoattack import AutoAttack
from ._core import Error, __version__
from ._model import Attack, Model, Verdict, attacks, digits, load
from ._training import Run, train

__all__ = [
    "Attack",
    "AutoAttack",
    "Error",
    "Model",
    "Run",
    "Verdict",
    "__version__",
    "attacks",
    "digits",
    "load",
    "torchattacks",
    "train",
]
