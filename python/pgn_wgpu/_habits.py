"""What the classes share that stand in for those of other packages."""

from __future__ import annotations

from typing import Any

from ._model import Model, load

#: Norms as other packages write them.
NORMS = {"L2": "l2", "Linf": "linf"}


def as_model(model: Any) -> Model:
    """A model of this package, or the path of one."""
    if isinstance(model, Model):
        return model
    if isinstance(model, (str, bytes)) or hasattr(model, "__fspath__"):
        return load(model)
    raise TypeError(
        f"the model is a {type(model).__name__}; give pgn_wgpu.load(file), and export a network of PyTorch by "
        "torch.onnx.export first"
    )


def as_norm(norm: str) -> str:
    """A norm of this package."""
    if norm not in NORMS:
        raise ValueError(f"norm {norm!r} is not possible; choose one of {', '.join(NORMS)}")
    return NORMS[norm]
