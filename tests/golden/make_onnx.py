"""Writes tests/golden/onnx: tiny ONNX models and what ONNX Runtime answers to a formula's images.

    python3 -m venv venv && venv/bin/pip install onnx onnxruntime "numpy<2"
    venv/bin/python tests/golden/make_onnx.py

Together the models use most operators that are read, in the ways in which PyTorch exports them: with arithmetic on
shapes, explicit padding, channels last, weights of 16 bits and weights in another file.
"""
import json
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

FOLDER = pathlib.Path(__file__).parent / "onnx"
RANDOM = np.random.default_rng(7)
IMAGES = 2


def weights(*shape, scale=None):
    fan_in = np.prod(shape[1:]) if len(shape) > 1 else 4
    return (RANDOM.standard_normal(shape) * (scale or 1 / np.sqrt(fan_in))).astype(np.float32)


class Model:
    def __init__(self, name, shape, opset=17, kind=TensorProto.FLOAT):
        self.name, self.shape, self.opset, self.kind = name, shape, opset, kind
        self.nodes, self.weights = [], []

    def weight(self, name, values):
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def constant(self, values):
        return self.node("Constant", value=numpy_helper.from_array(np.asarray(values)))

    def node(self, operator, *inputs, outputs=1, **attributes):
        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, name=f"{operator}{len(self.nodes)}", **attributes))
        return names[0] if outputs == 1 else names

    def finish(self, result, external=False):
        self.nodes[-1].output[0] = "logits"
        images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", *self.shape])
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 5])
        graph = helper.make_graph(self.nodes, self.name, [images], [logits], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        onnx.checker.check_model(model)
        path = FOLDER / f"{self.name}.onnx"
        if external:
            data = f"{self.name}.data"
            (FOLDER / data).unlink(missing_ok=True)
            onnx.save(model, path, save_as_external_data=True, location=data, size_threshold=0)
        else:
            onnx.save(model, path)


def batch_norm(m, x, name, channels):
    parts = [
        m.weight(f"{name}.weight", 1 + weights(channels, scale=0.2)),
        m.weight(f"{name}.bias", weights(channels, scale=0.2)),
        m.weight(f"{name}.running_mean", weights(channels, scale=0.2)),
        m.weight(f"{name}.running_var", 1 + weights(channels, scale=0.1) ** 2),
    ]
    return m.node("BatchNormalization", x, *parts, epsilon=1e-5, momentum=0.9)


def residual():
    """Normalisation, convolutions of all kinds, batch normalisation, pooling, a shape computed for the last layer."""
    m = Model("residual", (3, 12, 12))
    x = m.node("Sub", "images", m.weight("mean", np.array([0.5, 0.4, 0.3], np.float32).reshape(1, 3, 1, 1)))
    x = m.node("Div", x, m.weight("std", np.array([0.2, 0.25, 0.3], np.float32).reshape(1, 3, 1, 1)))
    x = m.node("Conv", x, m.weight("conv1.weight", weights(8, 3, 3, 3)), pads=[1, 1, 1, 1])
    x = m.node("LeakyRelu", batch_norm(m, x, "bn1", 8), alpha=0.1)
    padded = m.node("Pad", x, m.constant(np.array([0, 0, 0, 0, 0, 0, 1, 1])), m.constant(np.float32(0)))
    y = m.node("Conv", padded, m.weight("conv2.weight", weights(8, 4, 3, 3)), m.weight("conv2.bias", weights(8)), strides=[2, 2], group=2)
    y = m.node("Sigmoid", y)
    y = m.node("Conv", y, m.weight("conv3.weight", weights(8, 1, 3, 3)), pads=[2, 2, 2, 2], dilations=[2, 2], group=8)
    short = m.node("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = m.node("Relu", m.node("Add", y, short))
    x = m.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1], ceil_mode=1)
    first = m.node("Gather", m.node("Shape", x), m.constant(np.array(0)), axis=0)
    shape = m.node("Concat", m.node("Unsqueeze", first, m.constant(np.array([0]))), m.constant(np.array([-1])), axis=0)
    x = m.node("Dropout", m.node("Reshape", x, shape))
    x = m.node("Gemm", x, m.weight("fc.weight", weights(5, 72)), m.weight("fc.bias", weights(5)), transB=1)
    m.finish(m.node("Softmax", x, axis=-1))


def tokens():
    """Channels last: layer normalisation, linear layers over channels, GELU by the error function, means by hand."""
    m = Model("tokens", (1, 8, 8))
    x = m.node("Conv", "images", m.weight("stem.weight", weights(6, 1, 2, 2)), m.weight("stem.bias", weights(6)), strides=[2, 2])
    y = m.node("Transpose", x, perm=[0, 2, 3, 1])
    y = m.node("LayerNormalization", y, m.weight("norm.weight", 1 + weights(6, scale=0.1)), m.weight("norm.bias", weights(6)), axis=-1, epsilon=1e-6)
    y = m.node("Add", m.node("MatMul", y, m.weight("up.weight", weights(6, 12))), m.weight("up.bias", weights(12)))
    gate = m.node("Add", m.node("Erf", m.node("Div", y, m.constant(np.float32(2**0.5)))), m.constant(np.float32(1)))
    y = m.node("Mul", m.node("Mul", y, gate), m.constant(np.float32(0.5)))
    y = m.node("MatMul", y, m.weight("down.weight", weights(12, 6)))
    y = m.node("Mul", m.weight("gamma", weights(6)), y)
    x = m.node("Add", x, m.node("Transpose", y, perm=[0, 3, 1, 2]))
    mean = m.node("ReduceMean", x, axes=[1], keepdims=1)
    centred = m.node("Sub", x, mean)
    variance = m.node("ReduceMean", m.node("Pow", centred, m.constant(np.float32(2))), axes=[1], keepdims=1)
    x = m.node("Div", centred, m.node("Sqrt", m.node("Add", variance, m.constant(np.float32(1e-6)))))
    x = m.node("Flatten", x)
    m.finish(m.node("LogSoftmax", m.node("MatMul", x, m.weight("head.weight", weights(96, 5))), axis=1))


def rest():
    """Bytes as pixels, and most of what else there is."""
    m = Model("rest", (3, 8, 8), opset=18)
    x = m.node("Div", "images", m.constant(np.float32(255)))
    x = m.node("Pad", x, m.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])), mode="reflect")
    x = m.node("Conv", x, m.weight("a.weight", weights(8, 3, 3, 3)))
    x = m.node("PRelu", x, m.weight("slope", np.abs(weights(8)).reshape(8, 1, 1)))
    gate = m.node("Relu", m.node("Conv", m.node("GlobalAveragePool", x), m.weight("b.weight", weights(2, 8, 1, 1))))
    gate = m.node("HardSigmoid", m.node("Conv", gate, m.weight("c.weight", weights(8, 2, 1, 1))), alpha=1 / 6)
    left, right = m.node("Split", m.node("Mul", x, gate), outputs=2, axis=1, num_outputs=2)
    x = m.node("Concat", right, m.node("Clip", left, m.constant(np.float32(-0.5)), m.constant(np.float32(0.75))), axis=1)
    x = m.node("Reshape", x, m.constant(np.array([0, 2, 4, 8, 8])))
    x = m.node("Reshape", m.node("Transpose", x, perm=[0, 2, 1, 3, 4]), m.constant(np.array([-1, 8, 8, 8])))
    half = m.node("Slice", x, m.constant(np.array([0, 0])), m.constant(np.array([99, 99])), m.constant(np.array([2, 3])), m.constant(np.array([2, 2])))
    half = m.node("HardSwish", m.node("Conv", half, m.weight("d.weight", weights(8, 8, 1, 1))))
    up = m.node("ConvTranspose", half, m.weight("e.weight", weights(8, 4, 3, 3)), m.weight("e.bias", weights(4)), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])
    wide = m.node("Resize", half, "", m.constant(np.array([1, 1, 2, 2], np.float32)), mode="linear")
    x = m.node("Concat", m.node("Selu", up), m.node("Elu", wide), x, axis=1)
    x = m.node("Softplus", m.node("Sub", m.constant(np.float32(1)), m.node("Tanh", x)))
    x = m.node("Max", m.node("ReduceMean", x, m.constant(np.array([2, 3])), keepdims=0), m.constant(np.float32(0.4)))
    m.finish(m.node("Gemm", x, m.weight("fc.weight", weights(20, 5)), m.weight("fc.bias", weights(5)), alpha=0.5, beta=2.0))


def outside():
    """Weights in a file beside the model, some of them of 16 bits."""
    m = Model("outside", (3, 8, 8))
    kernel = m.node("Cast", m.weight("conv.weight", weights(4, 3, 3, 3).astype(np.float16)), to=TensorProto.FLOAT)
    x = m.node("Relu", m.node("Conv", "images", kernel, strides=[2, 2], auto_pad="SAME_UPPER"))
    x = m.node("Flatten", x)
    m.finish(m.node("Gemm", x, m.weight("fc.weight", weights(64, 5)), m.weight("fc.bias", weights(5))), external=True)


def groups():
    """Normalisation of channels and of groups, and a copy of the channels' means by places that are computed from the number
    of images, as PyTorch's newer exporter writes `as_strided`."""
    m = Model("groups", (3, 8, 8), opset=21)
    x = m.node("Conv", "images", m.weight("a.weight", weights(8, 3, 3, 3)), pads=[1, 1, 1, 1])
    factors = [m.weight("a.scale", 1 + weights(8, scale=0.2)), m.weight("a.shift", weights(8, scale=0.2))]
    x = m.node("InstanceNormalization", x, *factors, epsilon=1e-3)
    whole = m.constant(np.array(2, np.int64))
    x = m.node("Mul", m.node("Relu", x), m.node("CastLike", whole, x))
    factors = [m.weight("b.scale", 1 + weights(8, scale=0.2)), m.weight("b.shift", weights(8, scale=0.2))]
    x = m.node("GroupNormalization", x, *factors, num_groups=2, epsilon=1e-5)
    means = m.node("ReduceMean", x, m.constant(np.array([2, 3])), keepdims=1)
    row = m.node("Reshape", means, m.constant(np.array([-1])))
    count = m.node("Squeeze", m.node("Shape", "images", start=0, end=1), m.constant(np.array([0])))
    images = m.node("Range", m.constant(np.array(0)), count, m.constant(np.array(1)))
    places = m.node("Unsqueeze", m.node("Mul", images, m.constant(np.array(8))), m.constant(np.array([1, 2, 3])))
    places = m.node("Add", places, m.constant(np.arange(8).reshape(8, 1, 1)))
    x = m.node("Flatten", m.node("Gather", row, places, axis=0))
    m.finish(m.node("Gemm", x, m.weight("fc.weight", weights(5, 8)), m.weight("fc.bias", weights(5)), transB=1))


def windows():
    """Adaptive pooling to windows of two sizes, as PyTorch's newer exporter writes it; places of a diagonal and of no order."""
    m = Model("windows", (3, 8, 8), opset=18)
    x = m.node("Conv", "images", m.weight("a.weight", weights(4, 3, 3, 3)), strides=[1, 2], pads=[1, 1, 1, 0])
    # [n, 4, 8, 3] to [3, 2] by windows of 3 or 4 rows and of 2 columns.
    rows, columns = np.array([[0, 1, 2, 2], [2, 3, 4, 5], [5, 6, 7, 7]]), np.array([[0, 1], [1, 2]])
    places = np.stack(np.broadcast_arrays(rows[:, :, None, None], columns), -1)
    y = m.node("GatherND", m.node("Transpose", x, perm=[2, 3, 0, 1]), m.constant(places))
    y = m.node("Transpose", y, perm=[4, 5, 0, 1, 2, 3])
    twice = np.array([[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 1]], bool).reshape(3, 4, 1, 1)
    y = m.node("Where", m.constant(twice), m.constant(np.float32(0)), y)
    y = m.node("ReduceSum", y, m.constant(np.array([-3, -1])), keepdims=0)
    y = m.node("Div", y, m.constant(np.array([[6], [8], [6]], np.float32)))
    y = m.node("Tanh", m.node("Reshape", y, m.constant(np.array([-1, 24]))))
    # One place many times.
    z = m.node("Transpose", m.node("GlobalAveragePool", x), perm=[2, 3, 0, 1])
    z = m.node("GatherND", z, m.constant(np.zeros((2, 1, 3, 1, 2), np.int64)))
    z = m.node("ReduceMean", m.node("Transpose", z, perm=[4, 5, 0, 1, 2, 3]), m.constant(np.array([-3, -1])), keepdims=0)
    z = m.node("Flatten", z)
    # [[0, 1], [5, 0], [-1, 2]]
    signs = m.node("Sign", m.constant(np.array([[0, 0.5], [3, 0], [-2, 1]], np.float32)))
    sizes = m.constant(np.array([[7, 1], [5, 7], [1, 2]]))
    places = m.node("Mul", m.node("CastLike", signs, sizes), sizes)
    diagonal = m.node("GatherND", m.node("Transpose", x, perm=[2, 3, 0, 1]), places)
    diagonal = m.node("Flatten", m.node("Transpose", diagonal, perm=[1, 2, 0]))
    mixed = m.node("Gather", x, m.constant(np.array([[3, 0], [0, 2]])), axis=1)
    mixed = m.node("ReduceMean", mixed, m.constant(np.array([3, 4])), keepdims=0)
    odd = m.constant(np.array([[True, False], [False, True]]))
    mixed = m.node("Where", odd, mixed, m.node("Sigmoid", mixed))
    mixed = m.node("Flatten", m.node("Where", odd, m.constant(np.array([[1], [2]], np.float32)), mixed))
    x = m.node("Concat", y, z, diagonal, mixed, axis=1)
    m.finish(m.node("Gemm", x, m.weight("fc.weight", weights(5, 64)), m.weight("fc.bias", weights(5)), transB=1))


FOLDER.mkdir(exist_ok=True)
expected = {}
for make, channels, side, largest in [(residual, 3, 12, 1), (tokens, 1, 8, 1), (rest, 3, 8, 255), (outside, 3, 8, 1), (groups, 3, 8, 1), (windows, 3, 8, 1)]:
    make()
    count = IMAGES * channels * side * side
    pixels = (0.5 + 0.45 * np.sin(0.3 * np.arange(count))) * largest
    images = pixels.astype(np.float32).reshape(IMAGES, channels, side, side)
    session = onnxruntime.InferenceSession(str(FOLDER / f"{make.__name__}.onnx"))
    answer = session.run(None, {"images": images})[0].astype(np.float64)
    if make in (residual,):
        answer = np.log(answer)
    expected[make.__name__] = {"softmax": make in (residual, tokens), "logits": answer.tolist()}
(FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
