"""A virtual environment of a script's own, so that it needs nothing but Python.

The first call makes it with packages from PyPI. Set PIP_INDEX_URL or PIP_EXTRA_INDEX_URL for another index.
"""

import importlib.util
import os
import pathlib
import subprocess
import sys


def go_on_within(folder, packages, modules):
    """Returns where Python finds all `modules`; else runs the script once more within `folder`, and ends."""
    if all(importlib.util.find_spec(module) for module in modules):
        return
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if pathlib.Path(sys.prefix) == folder:
        raise SystemExit(f"{folder} lacks a package; remove this folder and try again")
    ready = folder / "ready"
    if not ready.exists():
        print(f"installing {', '.join(packages)} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
        ready.touch()
    sys.exit(subprocess.run([str(python), *sys.argv]).returncode)
