"""Images and labels of any kind as the NumPy arrays that the extension module takes.

Whatever is wrong with them is said here, in one sentence with the type, the shape or the value at fault and what to do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Devices in DLPack's list whose memory the CPU reads: itself, and what CUDA and ROCm have pinned for it.
_READABLE_DEVICES = (1, 3, 11)

#: How far beyond [0, 1] rounding brings pixels that were normalised and brought back.
ROUNDING = 1e-3


def as_array(value: Any, name: str) -> NDArray[Any]:
    """The array that ``value`` is or offers: NumPy's own, DLPack's or ``__array__``'s. ``name`` is plural, for messages."""
    # Its mask would be lost on the way, after the checks have left out what is under it.
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} are a masked array, and a model knows no mask; give the entries that count, or {name}.filled(...)")
    if isinstance(value, np.ndarray):
        # Subclasses may answer the checks in ways of their own.
        return np.asarray(value)
    # Tensors that take part in a gradient hand nothing out.
    detach = getattr(value, "detach", None)
    if callable(detach):
        value = detach()
    try:
        if hasattr(value, "__dlpack_device__"):
            if value.__dlpack_device__()[0] not in _READABLE_DEVICES:
                raise TypeError(f"{name} are not in the memory of the CPU; move them there, as {name}.cpu() does")
            return np.from_dlpack(value)
        if hasattr(value, "__array__"):
            return np.asarray(value)
    except (BufferError, RuntimeError) as error:
        raise TypeError(f"{name} cannot be read as an array ({error}); give a NumPy array") from error
    kind = type(value).__name__
    raise TypeError(f"{name} are a {kind}; give a NumPy array, or anything with __array__ or DLPack")


def as_images(value: Any, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Images for a model of this shape (channels, height, width): float32 NCHW in [0, 1], in memory as the extension reads it."""
    images = as_array(value, "images")
    if images.dtype != np.float32:
        hint = " / 255" if images.dtype.kind in "iu" else ""
        raise TypeError(
            f"images are {images.dtype}; give float32 in [0, 1], as images.astype('float32'){hint} makes them"
        )
    _check_layout(images, shape)
    _check_range(images)
    return np.require(images, np.float32, ["C", "A"])


def _check_layout(images: NDArray[Any], shape: tuple[int, int, int]) -> None:
    channels, height, width = shape
    own = images.shape
    if images.ndim == 4 and own[1:] == shape:
        return
    wanted = f"the model takes NCHW, (n, {channels}, {height}, {width})"
    if images.ndim == 4 and own[1:] == (height, width, channels):
        raise ValueError(f"images have the shape {own}, which is NHWC; {wanted}: images.transpose(0, 3, 1, 2)")
    if own == shape:
        raise ValueError(f"images have the shape {own}, which is that of one image; {wanted}: images[None]")
    raise ValueError(f"images have the shape {own}; {wanted}")


def _check_range(images: NDArray[Any]) -> None:
    if images.size == 0:
        return
    low, high = float(images.min()), float(images.max())
    if not np.isfinite([low, high]).all():
        bad = ~np.isfinite(images)
        image = int(np.argmax(bad.reshape(len(images), -1).any(axis=1)))
        value = images[image][bad[image]][0]
        raise ValueError(f"images have {value} in image {image}; every pixel must be a number in [0, 1]")
    if low >= 0.0 and high <= 1.0:
        return
    hint = ""
    if low > -ROUNDING and high < 1.0 + ROUNDING:
        hint = "; rounding does this: images.clip(0, 1)"
    elif low < 0.0:
        hint = "; what normalises pixels belongs to the model: load(..., mean=, std=)"
    elif 2.0 < high <= 255.0:
        hint = "; divide them by 255 if they are bytes"
    raise ValueError(f"images go from {low:.9g} to {high:.9g}; pixels must be in [0, 1]{hint}")


def as_labels(value: Any, images: int, classes: int) -> NDArray[np.int64]:
    """One class for each of so many images, as int64."""
    labels = as_array(value, "labels")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels are {labels.dtype}; give whole numbers, as labels.astype('int64') makes them")
    if labels.ndim != 1:
        hint = "; of one-hot rows, take labels.argmax(1)" if labels.shape == (images, classes) else ""
        raise ValueError(f"labels have the shape {labels.shape}; give one class for each image, ({images},){hint}")
    if len(labels) != images:
        raise ValueError(f"there are {len(labels)} labels for {images} images; give one for each")
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        image = int(np.argmax(wrong))
        raise ValueError(
            f"label {labels[image]} of image {image} is no class of the model; its {classes} classes are 0 to {classes - 1}"
        )
    return np.require(labels, np.int64, ["C", "A"])
