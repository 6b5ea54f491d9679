"""Attacks with the names, parameters and defaults of torchattacks 3.5.1 (github.com/Harry24k/adversarial-attacks-pytorch, 23620a6).

>>> from pgn_wgpu import torchattacks
>>> attack = torchattacks.PGD(model, eps=8 / 255, alpha=2 / 255, steps=10)
>>> attack(images, labels).shape
(400, 1, 8, 8)

A call takes images and labels and returns the attacked images: tensors of PyTorch for tensors, arrays for arrays. The computation
is that of :meth:`pgn_wgpu.Model.attack`, and differs in what follows.

* Images that the model gets wrong without an attack come back as they are.
* Gradients of the cross-entropy do not vanish where the model is sure.
* ``PGDL2`` starts on the sphere of radius ``eps``. ``PGD`` starts anywhere in the ball, as there.
* Random numbers follow ``seed``. ``PGD`` and ``PGDL2`` draw anew in every call: the first one draws with ``seed``, the next with
  ``seed + 1``, and so on. The others draw the same in every call.
* ``Square`` keeps to the schedule for 10,000 queries (``resc_schedule=False`` there, as in AutoAttack).
* ``DeepFool`` looks at the 10 classes with the largest logits. ``CW`` with a ``kappa`` keeps images with that margin alone.

Parameters that only those packages have (``eot_iter``, ``rho``, ``p_init`` and others) are left out, and so is ``FAB``, which is
without targets there by default and with targets here (``model.attack(..., "fab-t")``).
"""

from __future__ import annotations

from typing import Any, Union

from ._habits import as_model, as_norm
from ._model import Attack, Model
from ._tensors import like, to_cpu

__all__ = ["APGD", "APGDT", "BIM", "CW", "DeepFool", "FGSM", "MIFGSM", "PGD", "PGDL2", "Square"]

#: Radius and step in Linf of every attack there that has them.
EPS = 8 / 255
ALPHA = 2 / 255
#: Steps of the attacks in a ball.
STEPS = 10


class _Attack:
    """An attack of this package with its options."""

    def __init__(self, model: Union[Model, str], attack: str, **options: Any) -> None:
        self.model, self._attack, self._options = as_model(model), attack, options
        #: The seed of the next call, of an attack that draws anew in every call.
        self._seed: Union[int, None] = None

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self._options.items())
        return f"{type(self).__name__}({self.model.name!r}: {self._attack}, {options})"

    def __call__(self, images: Any, labels: Any) -> Any:
        """The attacked images, of the kind that was given."""
        return like(self.run(images, labels).images, images)

    def run(self, images: Any, labels: Any) -> Attack:
        """All that the attack left."""
        options = self._options
        if self._seed is not None:
            options = {**options, "seed": self._seed}
            self._seed += 1
        return self.model.attack(to_cpu(images), to_cpu(labels), self._attack, **options)


class FGSM(_Attack):
    """The fast gradient sign method."""

    def __init__(self, model: Union[Model, str], eps: float = EPS) -> None:
        super().__init__(model, "fgm", norm="linf", eps=eps)


class BIM(_Attack):
    """The basic iterative method: PGD from the images themselves."""

    def __init__(self, model: Union[Model, str], eps: float = EPS, alpha: float = ALPHA, steps: int = STEPS) -> None:
        super().__init__(model, "pgd", norm="linf", eps=eps, step_size=alpha, iterations=steps)


class PGD(_Attack):
    """Projected gradient descent in Linf."""

    def __init__(
        self,
        model: Union[Model, str],
        eps: float = EPS,
        alpha: float = ALPHA,
        steps: int = STEPS,
        random_start: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(
            model, "pgd", norm="linf", eps=eps, step_size=alpha, iterations=steps, random_start=random_start
        )
        self._seed = seed if random_start else None


class PGDL2(_Attack):
    """Projected gradient descent in L2."""

    def __init__(
        self,
        model: Union[Model, str],
        eps: float = 1.0,
        alpha: float = 0.2,
        steps: int = STEPS,
        random_start: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(
            model, "pgd", norm="l2", eps=eps, step_size=alpha, iterations=steps, random_start=random_start
        )
        self._seed = seed if random_start else None


class MIFGSM(_Attack):
    """The momentum iterative method."""

    def __init__(
        self,
        model: Union[Model, str],
        eps: float = EPS,
        alpha: float = ALPHA,
        steps: int = STEPS,
        decay: float = 1.0,
    ) -> None:
        super().__init__(model, "mim", norm="linf", eps=eps, step_size=alpha, iterations=steps, decay=decay)


class APGD(_Attack):
    """Auto-PGD on the cross-entropy (``loss="ce"``) or the difference of logits ratio (``loss="dlr"``)."""

    def __init__(
        self,
        model: Union[Model, str],
        norm: str = "Linf",
        eps: float = EPS,
        steps: int = STEPS,
        n_restarts: int = 1,
        seed: int = 0,
        loss: str = "ce",
    ) -> None:
        if loss not in ("ce", "dlr"):
            raise ValueError(f"loss {loss!r} is not possible; choose one of ce, dlr")
        super().__init__(
            model, f"apgd-{loss}", norm=as_norm(norm), eps=eps, iterations=steps, restarts=n_restarts, seed=seed
        )


class APGDT(_Attack):
    """Auto-PGD on the targeted difference of logits ratio, towards every other class of at most ``n_classes``."""

    def __init__(
        self,
        model: Union[Model, str],
        norm: str = "Linf",
        eps: float = EPS,
        steps: int = STEPS,
        n_restarts: int = 1,
        seed: int = 0,
        n_classes: int = 10,
    ) -> None:
        super().__init__(
            model,
            "apgd-t",
            norm=as_norm(norm),
            eps=eps,
            iterations=steps,
            restarts=n_restarts,
            seed=seed,
            targets=n_classes - 1,
        )


class CW(_Attack):
    """Carlini and Wagner's L2 attack with one constant ``c``, without a search for it."""

    def __init__(self, model: Union[Model, str], c: float = 1, kappa: float = 0, steps: int = 50, lr: float = 0.01) -> None:
        super().__init__(
            model, "cw", initial_c=c, confidence=kappa, iterations=steps, learning_rate=lr, search_steps=1
        )


class DeepFool(_Attack):
    """The shortest way over a boundary, in L2."""

    def __init__(self, model: Union[Model, str], steps: int = 50, overshoot: float = 0.02) -> None:
        super().__init__(model, "deepfool", iterations=steps, overshoot=overshoot)


class Square(_Attack):
    """Random squares, without gradients."""

    def __init__(
        self,
        model: Union[Model, str],
        norm: str = "Linf",
        eps: float = EPS,
        n_queries: int = 5000,
        n_restarts: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(
            model, "square", norm=as_norm(norm), eps=eps, queries=n_queries, restarts=n_restarts, seed=seed
        )
