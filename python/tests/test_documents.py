"""Every example in the documentation says what comes out: docstrings, the README, and the notebook."""

import doctest
import importlib
import json
import pathlib
import pkgutil
import shutil

import pgn_wgpu
import pytest

HERE = pathlib.Path(__file__).parent
MODULES = ["pgn_wgpu", *(f"pgn_wgpu.{module.name}" for module in pkgutil.iter_modules(pgn_wgpu.__path__))]


@pytest.fixture
def home(folder, monkeypatch):
    """The folder that examples run in."""
    shutil.rmtree(folder / "runs/short", ignore_errors=True)
    monkeypatch.chdir(folder)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(home, model, digits, name):
    module = importlib.import_module(name)
    own = {"model": model, "images": digits[0], "labels": digits[1]}
    assert doctest.testmod(module, extraglobs=own).failed == 0


def test_the_readme(home):
    found = doctest.testfile(str(HERE.parent / "README.md"), module_relative=False)
    assert found.failed == 0 and found.attempted > 5


def test_the_notebook(home):
    cells = json.loads((HERE.parent / "notebooks/digits.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    names = {}
    for cell in code:
        exec(compile(cell, "cell", "exec"), names)
    assert names["verdict"].robust_accuracy > 0.1
