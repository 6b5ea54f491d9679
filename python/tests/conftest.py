"""A trained classifier of digits for all tests, one of coloured images, and the command of the installed wheel beside them."""

import json
import pathlib
import struct
import subprocess
import sysconfig

import numpy as np
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


class Coloured:
    """A network with random weights for coloured images of 8x12, where no two extents are equal, in NumPy and as a model file.

    It is the default network: a convolution, a convolution to twice the channels, average pooling, a convolution to the classes, and the
    mean over all positions. A leaky ReLU follows each convolution.
    """

    shape = (3, 8, 12)

    def __init__(self, file):
        random = np.random.default_rng(7)
        extents = [(4, 3, 3, 3), (8, 4, 3, 3), (5, 8, 3, 3)]
        self.weights = [random.normal(0, 0.3, own).astype("float32") for own in extents]
        self.biases = [random.normal(0, 0.1, own[0]).astype("float32") for own in extents]
        self.images = random.random((6, *self.shape), dtype="float32")
        self.file = file
        self.write(file)

    def write(self, file):
        """A safetensors file, by its published layout: the length of a JSON head, the head, the bytes."""
        tensors = {f"convs.{i}.weight": weight for i, weight in enumerate(self.weights)}
        tensors.update({f"convs.{i}.bias": bias for i, bias in enumerate(self.biases)})
        head, data = {}, b""
        for name, tensor in tensors.items():
            offsets = [len(data), len(data) + tensor.nbytes]
            head[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": offsets}
            data += tensor.tobytes()
        head = json.dumps(head).encode()
        file.write_bytes(struct.pack("<Q", len(head)) + head + data)

    def logits(self, images):
        """In 64 bits."""
        x = images.astype("float64")
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
            x = np.einsum("nchwij,ocij->nohw", windows, weight) + bias[:, None, None]
            x = np.where(x > 0, x, 0.2 * x)
            if i == 1:
                n, c, h, w = x.shape
                x = x.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5))
        return x.mean((2, 3))


@pytest.fixture(scope="session")
def coloured(folder):
    return Coloured(folder / "coloured.safetensors")


@pytest.fixture(scope="session")
def coloured_model(coloured):
    return pgn_wgpu.load(coloured.file, adapter="cpu", size=coloured.shape[1:])


@pytest.fixture(scope="session")
def command(folder):
    """The installed command, run in the folder; a call returns the finished process."""
    path = pathlib.Path(sysconfig.get_path("scripts")) / "pgn-wgpu"

    def call(*arguments, **options):
        line = [str(path), *map(str, arguments)]
        return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=600, **options)

    return call
