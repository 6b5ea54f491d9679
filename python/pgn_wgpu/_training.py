"""Training runs."""

from __future__ import annotations

import json
import pathlib
import warnings
from collections.abc import Callable
from os import PathLike
from typing import Any, Optional, Union

from . import _core
from ._model import Model, load
from ._options import as_given


class Run:
    """A run folder: how it was trained, its metrics, and its model."""

    def __init__(self, folder: Union[str, "PathLike[str]"], test: Optional[dict[str, Any]] = None) -> None:
        config, records = _core.run(folder)
        self._config: dict[str, Any] = json.loads(config)
        self._records: list[dict[str, Any]] = json.loads(records)
        #: Where it is.
        self.folder = pathlib.Path(folder)
        #: What the final networks came to on the test images, if this session trained them.
        self.test = test

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, {len(self.steps)} steps, {len(self.epochs)} epochs)"

    @property
    def config(self) -> dict[str, Any]:
        """Every setting, as in ``config.toml``."""
        return self._config

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl`` in their order."""
        return self._records

    @property
    def steps(self) -> list[dict[str, Any]]:
        """Those of steps."""
        return [record for record in self._records if record["kind"] == "step"]

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """Those of epochs: accuracies on the validation images."""
        return [record for record in self._records if record["kind"] == "epoch"]

    def load(self, adapter: str = "auto", **options: Any) -> Model:
        """Opens its model; options as of :func:`load`."""
        return load(self.folder, adapter, **options)


def _told(on_epoch: Callable[[dict[str, Any]], object]) -> Callable[[str, int], object]:
    """What the extension module calls: with a record as JSON, and the number of epochs."""
    return lambda text, epochs: on_epoch({**json.loads(text), "epochs": epochs})


def train(
    *,
    method: Optional[str] = None,
    dataset: Optional[str] = None,
    on_epoch: Optional[Callable[[dict[str, Any]], object]] = None,
    **options: Any,
) -> Run:
    """Trains a classifier, as the command ``train`` does, and returns the run.

    Options are those of ``pgn-wgpu train --help`` with underscores, such as ``epochs``, ``network``, ``width``, ``data``, ``out``,
    ``seed`` and ``adapter``, with the same defaults and checks; a flag alone is ``True``. ``on_epoch`` is called with the record
    of each epoch. Ctrl-C saves the run and raises ``KeyboardInterrupt``; ``resume=folder`` goes on with it.

    >>> run = train(method="natural", dataset="digits", epochs=2, adapter="cpu", out="runs/short")
    >>> len(run.epochs), run.config["method"], run.test["images"]
    (2, 'natural', 400)
    >>> run.load("cpu").classes
    10
    """
    given = as_given({"method": method, "dataset": dataset, **options})
    found = _core.train(given, None if on_epoch is None else _told(on_epoch))
    for sentence in found["notes"] + found["warnings"]:
        warnings.warn(sentence, stacklevel=2)
    test = found["test"]
    return Run(found["folder"], test and json.loads(test))
