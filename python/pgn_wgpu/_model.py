"""Models, and what attacks and verdicts leave."""

from __future__ import annotations

import json
import operator
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Optional, Union

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._arrays import as_images, as_labels
from ._options import as_given, as_text

Path = Union[str, "PathLike[str]"]


# Equality of arrays is an array, so results are equal to themselves alone.
@dataclass(frozen=True, eq=False)
class Attack:
    """What an attack left. Every array has an entry for each image.

    Images that the model classifies wrongly without an attack are not attacked: they come back as they are.
    """

    #: Name of the attack, and the options that it ran with; an option without a value follows the attack's own rule.
    attack: str
    options: dict[str, Any]
    #: The attacked images, float32 NCHW.
    images: NDArray[np.float32] = field(repr=False)
    #: Whether the model was right before the attack and is wrong after it (with a target: answers with that class).
    success: NDArray[np.bool_] = field(repr=False)
    #: ``withstood``, ``fooled``, ``already wrong`` or ``of the target class``.
    verdicts: list[str] = field(repr=False)
    #: Length of each perturbation: Euclidean, and its largest absolute value.
    l2: NDArray[np.float32] = field(repr=False)
    linf: NDArray[np.float32] = field(repr=False)
    #: The model's answers before and after the attack.
    clean_predictions: NDArray[np.int64] = field(repr=False)
    predictions: NDArray[np.int64] = field(repr=False)
    #: Seconds of the attack.
    seconds: float = field(repr=False)

    @property
    def norms(self) -> dict[str, NDArray[np.float32]]:
        """Both lengths by the names of their norms."""
        return {"l2": self.l2, "linf": self.linf}

    @property
    def accuracy(self) -> float:
        """Share of all images that were classified correctly and on which the attack did not succeed."""
        standing = [verdict in ("withstood", "of the target class") for verdict in self.verdicts]
        return float(np.mean(standing)) if standing else 0.0


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a verdict came to. Every array has an entry for each image."""

    #: All that ``verdict.json`` of the command has.
    report: dict[str, Any] = field(repr=False)
    #: The images as they came out: what broke the model, else the original; float32 NCHW. ``smallest`` has the nearest adversarial
    #: image even where that is beyond ``eps``, so that the image counts as robust.
    images: NDArray[np.float32] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    clean_predictions: NDArray[np.int64] = field(repr=False)
    #: Whether the image was classified correctly and withstood every attack.
    robust: NDArray[np.bool_] = field(repr=False)
    #: The attack that broke it, if one did; of ``smallest``, the one that found the nearest adversarial image, if that is
    #: within ``eps``.
    broken_by: list[Optional[str]] = field(repr=False)
    #: How far the image that came out is from the original; NaN where it is the original.
    l2: NDArray[np.float64] = field(repr=False)
    linf: NDArray[np.float64] = field(repr=False)

    def __repr__(self) -> str:
        low, high = self.interval
        radius = f"{self.report['norm']} {self.report['epsilon']:g}"
        return (
            f"Verdict(robust_accuracy={self.robust_accuracy:.4f} [{low:.4f}, {high:.4f}] within {radius}, "
            f"{len(self.labels)} images, {len(self.warnings)} warnings)"
        )

    @property
    def robust_accuracy(self) -> float:
        """Share of the images that withstood everything."""
        return float(self.report["robust-accuracy"]["value"])

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval."""
        share = self.report["robust-accuracy"]
        return float(share["low"]), float(share["high"])

    @property
    def benign_accuracy(self) -> float:
        """Share of the images that are classified correctly without an attack."""
        return float(self.report["benign-accuracy"])

    @property
    def attacks(self) -> list[dict[str, Any]]:
        """Each attack: its name, how many images it got and broke, the robust accuracy after it, and its seconds."""
        return list(self.report["attacks"])

    @property
    def warnings(self) -> list[str]:
        """Reasons to doubt the number, a sentence each."""
        return [f"{warning['figure']}; {warning['explanation']}" for warning in self.report["warnings"]]

    @property
    def columns(self) -> dict[str, Any]:
        """The per-image facts by name, as a table takes them: ``pandas.DataFrame(verdict.columns)``."""
        return {
            "label": self.labels,
            "clean_prediction": self.clean_predictions,
            "robust": self.robust,
            "broken_by": self.broken_by,
            "l2": self.l2,
            "linf": self.linf,
        }


class Model:
    """A model on an adapter. :func:`load` opens one.

    Images are float32 NCHW in [0, 1]: NumPy arrays, anything with ``__array__``, or DLPack tensors in the memory of the CPU.
    """

    def __init__(self, core: _core.Model) -> None:
        self._core = core

    def __repr__(self) -> str:
        return f"Model({self.name!r}, shape={self.shape}, classes={self.classes}, adapter={self.adapter!r})"

    @property
    def name(self) -> str:
        """Short: the run's or the file's."""
        return self._core.name

    @property
    def adapter(self) -> str:
        """What it computes on."""
        return self._core.adapter

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of its images."""
        return self._core.shape

    @property
    def classes(self) -> int:
        """The number of classes."""
        return self._core.classes

    @property
    def class_names(self) -> list[str]:
        """Their names; their numbers where the file has none."""
        return self._core.class_names

    @property
    def notes(self) -> list[str]:
        """What one should know about how the file was read, a sentence each."""
        return self._core.notes

    def __call__(self, images: Any) -> NDArray[np.float32]:
        """The logits ``[n, classes]``.

        >>> model(images).shape
        (400, 10)
        """
        return self._core.logits(as_images(images, self.shape))

    def input_gradients(self, images: Any, labels: Any) -> NDArray[np.float32]:
        """The gradient of each image's cross-entropy by its pixels, like ``images``.

        >>> model.input_gradients(images, labels).shape
        (400, 1, 8, 8)
        """
        return self._core.input_gradients(*self._pair(images, labels))

    def attack(
        self,
        images: Any,
        labels: Any,
        attack: str,
        *,
        norm: Optional[str] = None,
        eps: Union[float, str, None] = None,
        **options: Any,
    ) -> Attack:
        """Attacks images, as the command ``attack`` does.

        ``eps`` is the radius of attacks that keep to one, a number or a text such as ``"8/255"``; without it 0.5 in ``l2`` and
        8/255 in ``linf``. The attack's own options are those of :func:`attacks`, named as there; an option that the attack
        does not read is refused.

        >>> result = model.attack(images, labels, "apgd-ce", norm="l2", eps=0.5, iterations=10)
        >>> result.images.shape, bool((result.l2 <= 0.5 + 1e-5).all())
        ((400, 1, 8, 8), True)
        >>> result.accuracy <= float((model(images).argmax(1) == labels).mean())
        True
        """
        if "epsilon" in options:
            raise ValueError("there is no option epsilon; the radius is named eps")
        given = as_given({"norm": norm, "epsilon": _radius(eps), **options})
        found = self._core.attack(*self._pair(images, labels), attack, given)
        return Attack(**{**found, "options": json.loads(found["options"])})

    def verdict(
        self,
        images: Any,
        labels: Any,
        *,
        norm: str = "l2",
        eps: Union[float, str, None] = None,
        version: str = "quick",
        batch_size: int = 128,
    ) -> Verdict:
        """Robust accuracy within a radius under a fixed set of strong attacks, as the command ``verdict`` measures it.

        ``version`` is ``quick``, ``full`` (AutoAttack's standard set) or ``smallest`` (the nearest adversarial images). Nothing
        is kept on the disk, so an interrupted verdict begins anew.

        >>> verdict = model.verdict(images[:50], labels[:50], norm="linf", eps=0.1)
        >>> low, high = verdict.interval
        >>> 0 <= low <= verdict.robust_accuracy <= high <= verdict.benign_accuracy
        True
        >>> sorted(verdict.columns)
        ['broken_by', 'clean_prediction', 'l2', 'label', 'linf', 'robust']
        """
        at_a_time = _whole(batch_size)
        if at_a_time is None or not 1 <= at_a_time <= 65_536:
            raise ValueError(f"batch_size {batch_size!r} is not possible; it must be a whole number from 1 to 65536")
        pair = self._pair(images, labels)
        if len(pair[1]) == 0:
            raise ValueError("there are no images to judge; give at least one")
        found = self._core.verdict(*pair, norm, _radius(eps), version, at_a_time)
        return Verdict(**{**found, "report": json.loads(found["report"])})

    def _pair(self, images: Any, labels: Any) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        own = as_images(images, self.shape)
        return own, as_labels(labels, len(own), self.classes)


def _radius(eps: Union[float, str, None]) -> Union[bool, str, None]:
    """A radius for the extension module, which reads it as the command does; ``None`` is the usual one of the norm."""
    return None if eps is None else as_text("eps", eps)


def _whole(value: Any) -> Optional[int]:
    """A whole number of any type; ``None`` if it is none."""
    try:
        return operator.index(value)
    except TypeError:
        return None


def load(
    path: Path,
    adapter: str = "auto",
    *,
    size: Union[int, tuple[int, int], None] = None,
    **options: Any,
) -> Model:
    """Opens a run folder, an ONNX file, or a safetensors file of this program or with PyTorch's names.

    ``adapter`` is ``auto``, ``cpu``, or what ``pgn-wgpu adapters`` lists. ``size`` is the height and width of images, for files
    that do not tell it. Further options are those of ``pgn-wgpu predict``: ``normalise``, ``mean``, ``std``, ``scale``, ``tune``,
    ``precision``, ``checked``.

    >>> model = load("runs/natural-digits", adapter="cpu")
    >>> model.name, model.shape, model.classes
    ('natural-digits', (1, 8, 8), 10)
    """
    return Model(_core.Model(path, _sides(size), as_given({"adapter": adapter, **options})))


def _sides(size: Any) -> Optional[tuple[int, int]]:
    """The height and width of images."""
    if size is None:
        return None
    sides = size if isinstance(size, (list, tuple)) and len(size) == 2 else (size, size)
    height, width = (_whole(side) for side in sides)
    if height is None or width is None or min(height, width) < 1:
        raise ValueError(f"size {size!r} is not possible; it must be a whole number from 1 on, or a height and a width")
    return height, width


def attacks() -> dict[str, dict[str, Any]]:
    """The attacks that there are, by name: what each is, its norms, and its options with their defaults.

    An option whose default is ``None`` follows a rule of the attack.

    >>> attacks()["pgd"]["norms"], attacks()["pgd"]["options"]["iterations"]
    (['l2', 'linf'], 10)
    """
    return dict(json.loads(_core.attacks()))


def digits(split: str = "test") -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The embedded digits: images ``[n, 1, 8, 8]`` and labels of ``train``, ``validation`` or ``test``.

    >>> images, labels = digits()
    >>> images.shape, images.dtype, labels.dtype
    ((400, 1, 8, 8), dtype('float32'), dtype('int64'))
    """
    return _core.digits(split)
