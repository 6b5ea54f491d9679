"""A trained classifier of digits for all tests, and the command of the installed wheel beside it."""

import pathlib
import subprocess
import sysconfig

import pgn_wgpu
import pytest

#: The name in doctests.
RUN = "runs/natural-digits"


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with a run on the digits, which knows most of them."""
    folder = tmp_path_factory.mktemp("home")
    pgn_wgpu.train(method="natural", epochs=60, width=0.0625, adapter="cpu", out=folder / RUN)
    return folder


@pytest.fixture(scope="session")
def run(folder):
    return folder / RUN


@pytest.fixture(scope="session")
def model(run):
    return pgn_wgpu.load(run, adapter="cpu")


@pytest.fixture(scope="session")
def digits():
    return pgn_wgpu.digits("test")


@pytest.fixture(scope="session")
def command(folder):
    """The installed command, run in the folder; a call returns the finished process."""
    path = pathlib.Path(sysconfig.get_path("scripts")) / "pgn-wgpu"

    def call(*arguments, **options):
        line = [str(path), *map(str, arguments)]
        return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=600, **options)

    return call
