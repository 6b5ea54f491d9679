#!/bin/sh
# Runs the operator tests that the Python package onnx brings along, with inputs and outputs, on the reader of ONNX files.
# Prints every test that is refused with the reason, and the numbers of tests that passed, were refused and failed. None
# may fail.
#
# PYTHON names the interpreter that fetches the package. Only its files are unpacked: nothing of it runs.
set -eu

# The last version whose package holds the tests.
VERSION=1.18.0

cd "$(dirname "$0")/.."
folder=target/onnx-conformance
tests=$folder/$VERSION/onnx/backend/test/data/node
if ! test -d "$tests"; then
    rm -rf "$folder" && mkdir -p "$folder"
    ${PYTHON:-python3} -m venv "$folder/venv"
    # Every package of a version holds the same tests, so that of one platform serves all.
    "$folder/venv/bin/pip" download --quiet --no-deps --only-binary=:all: --python-version 3.11 \
        --platform manylinux2014_x86_64 --dest "$folder" "onnx==$VERSION"
    "$folder/venv/bin/python" -m zipfile -e "$folder"/onnx-*.whl "$folder/$VERSION"
fi
PGN_TEST_ADAPTER=cpu PGN_ONNX_TESTS="$(pwd)/$tests" cargo test --test onnx -- --ignored --nocapture conformance
