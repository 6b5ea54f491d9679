"""AutoAttack's standard evaluation with the calls of its public code (github.com/fra31/auto-attack, a392200)."""

from __future__ import annotations

import warnings
from typing import Any, Optional, Union

import numpy as np

from ._habits import as_model, as_norm
from ._model import Model, Verdict
from ._tensors import like, to_cpu

#: Images at a time, as in the public code.
BATCH = 250


class AutoAttack:
    """APGD-CE, targeted APGD, targeted FAB and Square with the public code's settings for ``version="standard"``.

    Random numbers follow seed 0, so the result is the same each time. Where it computes is said when the model is loaded. Of the
    public code's parameters ``seed``, ``attacks_to_run``, ``device`` and ``log_path`` are missing, and those after ``eps`` are given
    by name.

    >>> adversary = AutoAttack(model, norm="Linf", eps=0.1, verbose=False)
    >>> adversarial = adversary.run_standard_evaluation(images[:10], labels[:10], bs=10)
    >>> bool((abs(adversarial - images[:10]) <= 0.1 + 1e-5).all())
    True
    """

    def __init__(
        self,
        model: Union[Model, str],
        norm: str = "Linf",
        eps: float = 0.3,
        *,
        verbose: bool = True,
        version: str = "standard",
    ) -> None:
        if version != "standard":
            raise ValueError(f"version {version!r} is not possible; there is standard alone")
        self.model, self.norm, self.epsilon, self.verbose = as_model(model), as_norm(norm), eps, verbose
        #: What the last evaluation came to, with its interval and warnings.
        self.verdict: Optional[Verdict] = None

    def run_standard_evaluation(self, x_orig: Any, y_orig: Any, bs: int = BATCH, return_labels: bool = False) -> Any:
        """The images as they came out: what broke the model, else the original. Tensors for tensors, arrays for arrays.

        With ``return_labels`` also the model's answers to them. Reasons to doubt the number are told as warnings.
        """
        images, labels = to_cpu(x_orig), to_cpu(y_orig)
        verdict = self.model.verdict(
            images, labels, norm=self.norm, eps=self.epsilon, version="full", batch_size=bs
        )
        self.verdict = verdict
        for sentence in verdict.warnings:
            warnings.warn(sentence, stacklevel=2)
        if self.verbose:
            print(f"initial accuracy: {verdict.benign_accuracy:.2%}")
            for attack in verdict.attacks:
                print(f"robust accuracy after {attack['name']}: {attack['robust-accuracy']:.2%} ({attack['seconds']:.1f} s)")
            print(f"robust accuracy: {verdict.robust_accuracy:.2%}")
        adversarial = like(verdict.images, x_orig)
        if not return_labels:
            return adversarial
        answers = self.model(verdict.images).argmax(1).astype(np.int64)
        return adversarial, like(answers, y_orig)
