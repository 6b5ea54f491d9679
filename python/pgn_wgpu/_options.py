"""Options of Python as those of the command: what a flag is given on the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Union

import numpy as np

Given = list[tuple[str, Union[bool, str]]]


def as_given(options: Mapping[str, Any]) -> Given:
    """Options by name with their values as text. ``None`` leaves an option out."""
    return [(name, as_text(name, value)) for name, value in options.items() if value is not None]


def as_text(name: str, value: Any) -> Union[bool, str]:
    """A value as it is written on the command line; switches stay what they are."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, str):
        return value
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    if isinstance(value, (int, float, np.integer, np.floating)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return ",".join(str(as_text(name, part)) for part in value)
    raise TypeError(f"{name} is a {type(value).__name__}; give a number, a text, a path, True or False, or a list of them")
