"""Tensors of PyTorch in and out, without importing it: whoever gives a tensor has imported it."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor of PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def to_cpu(value: Any) -> Any:
    """A tensor in the memory of the CPU; other values as they are."""
    return value.detach().cpu() if is_tensor(value) else value


def like(result: NDArray[np.generic], given: Any) -> Any:
    """``result`` as what was ``given``: a tensor on the same device, or the array that it is."""
    if not is_tensor(given):
        return result
    return sys.modules["torch"].from_numpy(result).to(given.device)
