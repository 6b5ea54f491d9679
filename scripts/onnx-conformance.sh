#!/bin/sh
# Runs the tests that the Python package onnx brings along on the reader of ONNX files: those of operators, those of older
# operator sets, which are converted, and the light models, which get random weights and are held against ONNX Runtime.
# Prints every test that is refused with the reason, and the numbers of tests that passed, were refused and failed. None
# may fail.
#
# PYTHON names the interpreter that makes a virtual environment in target/onnx-conformance.
set -eu

# The last version whose package holds the tests.
VERSION=1.18.0
# What converts the older tests, and what computes the light models.
CONVERTER=1.23.2
RUNTIME=1.32.0

cd "$(dirname "$0")/.."
folder=$(pwd)/target/onnx-conformance
data=$folder/$VERSION/onnx/backend/test/data
if ! test -e "$folder/ready"; then
    rm -rf "$folder" && mkdir -p "$folder"
    "${PYTHON:-python3}" -m venv "$folder/venv"
    # Every package of a version holds the same tests, so that of one platform serves all.
    "$folder/venv/bin/pip" download --quiet --no-deps --only-binary=:all: --python-version 3.11 \
        --platform manylinux2014_x86_64 --dest "$folder" "onnx==$VERSION"
    "$folder/venv/bin/python" -m zipfile -e "$folder"/onnx-*.whl "$folder/$VERSION"
    "$folder/venv/bin/pip" install --quiet "onnx==$CONVERTER" "onnxruntime==$RUNTIME"
    "$folder/venv/bin/python" scripts/onnx_older.py "$data" "$folder/older" "$folder/light"
    touch "$folder/ready"
fi
PGN_ONNX_TESTS="$data/node" PGN_ONNX_OLDER="$folder/older" PGN_ONNX_LIGHT="$folder/light" PGN_TEST_ADAPTER=cpu \
    cargo test --test onnx -- --ignored --nocapture --test-threads 1 conformance
