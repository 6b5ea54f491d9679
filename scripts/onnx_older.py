#!/usr/bin/env python3
"""Tests of the onnx package that its operator tests do not have: those of older operator sets, and its light models.

    scripts/onnx_older.py DATA OLDER LIGHT

DATA is the package's folder `onnx/backend/test/data`. OLDER gets the tests of `simple`, `pytorch-operator` and
`pytorch-converted`, with operators of set OPSET where theirs are older. A test whose stored output ONNX Runtime does not
compute from the file any more is left out and named. LIGHT gets the networks of `light`, whose weights are not in the
package: random ones are put in their place, and the logits are ONNX Runtime's.

OLDER and LIGHT are made by the script and must not exist. Needs the packages onnx, onnxruntime and numpy.
"""

import pathlib
import shutil
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper, version_converter

# The oldest set that the program reads. Converted beyond 11, onnx puts Dropout in training mode.
OPSET = 11
RELATIVE, ABSOLUTE = 1e-3, 1e-6


def converted(model):
    """The model with operators of OPSET or newer."""
    version = next(own.version for own in model.opset_import if own.domain == "")
    model.ir_version = max(model.ir_version, 8)
    return model if version >= OPSET else version_converter.convert_version(model, OPSET)


def tensors(folder, kind):
    """The messages `kind_0.pb`, `kind_1.pb` and so on."""
    files = [folder / f"{kind}_{index}.pb" for index in range(len(list(folder.glob(f"{kind}_*.pb"))))]
    return [numpy_helper.to_array(onnx.TensorProto.FromString(file.read_bytes())) for file in files]


def check(model, folder):
    """Raises where ONNX Runtime does not answer as the test says."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    given = {own.name: value for own, value in zip(session.get_inputs(), tensors(folder, "input"))}
    for own, expected in zip(session.run(None, given), tensors(folder, "output")):
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(own, expected, RELATIVE, ABSOLUTE, equal_nan=True)


def older(data, out):
    for file in sorted(data.glob("simple/*/model.onnx")) + sorted(data.glob("pytorch-*/*/model.onnx")):
        test = file.parent
        try:
            model = converted(onnx.load(file))
            check(model, test / "test_data_set_0")
        except Exception as error:
            print(f"left out {test.parent.name}/{test.name}: {' '.join(str(error).split())[:120]}")
            continue
        copy = out / f"{test.parent.name}-{test.name}"
        shutil.copytree(test, copy)
        onnx.save(model, copy / "model.onnx")


def weight(random, shape, operator, place):
    """Values that keep numbers in bounds through many layers, for an input of this operator."""
    if len(shape) > 1:
        return random.normal(0, np.sqrt(1 / np.prod(shape[1:])), shape)
    positive = operator == "Mul" or (operator == "BatchNormalization" and place in (1, 4))
    return random.uniform(0.5, 1.5, shape) if positive else random.normal(0, 0.2, shape)


def filled(model, seed):
    """The model with random weights in place of its nodes ConstantOfShape."""
    random, graph = np.random.default_rng(seed), model.graph
    shapes = {own.name: numpy_helper.to_array(own) for own in graph.initializer}
    readers = {name: (node, place) for node in graph.node for place, name in enumerate(node.input)}

    def reader(name):
        node, place = readers[name]
        return reader(node.output[0]) if node.op_type == "Unsqueeze" else (node.op_type, place)

    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        if node.op_type == "ConstantOfShape":
            name = node.output[0]
            values = weight(random, [int(extent) for extent in shapes[node.input[0]]], *reader(name))
            graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
        else:
            graph.node.append(node)
    used = {name for node in graph.node for name in node.input}
    weights = [own for own in graph.initializer if own.name in used]
    images = [own for own in graph.input if own.name in used - {own.name for own in weights}]
    for field, kept in ((graph.initializer, weights), (graph.input, images)):
        del field[:]
        field.extend(kept)
    return model


def light(data, out):
    for seed, file in enumerate(sorted(data.glob("light/*.onnx"))):
        folder = out / file.stem
        (folder / "test_data_set_0").mkdir(parents=True)
        model = converted(filled(onnx.load(file), seed))
        onnx.save(model, folder / "model.onnx")
        images = model.graph.input[0]
        shape = [extent.dim_value for extent in images.type.tensor_type.shape.dim]
        x = np.random.default_rng(seed).random(shape, np.float32)
        last = model.graph.node[-1]
        logits = last.input[0] if last.op_type == "Softmax" else last.output[0]
        del model.graph.output[:]
        model.graph.output.append(helper.make_tensor_value_info(logits, onnx.TensorProto.FLOAT, None))
        y = onnxruntime.InferenceSession(model.SerializeToString()).run([logits], {images.name: x})[0]
        for name, values in (("input_0", x), ("output_0", y)):
            message = numpy_helper.from_array(values).SerializeToString()
            (folder / "test_data_set_0" / f"{name}.pb").write_bytes(message)


def main():
    data, *folders = map(pathlib.Path, sys.argv[1:])
    onnxruntime.set_default_logger_severity(4)
    for folder in folders:
        if folder.exists():
            raise SystemExit(f"{folder} exists; name a new folder for the tests, or remove it")
    for write, folder in zip((older, light), folders):
        folder.mkdir(parents=True)
        write(data, folder)


if __name__ == "__main__":
    main()
