#!/usr/bin/env python3
"""Packs the UCI optical digits, as scikit-learn ships them, into digits.bin.gz.

    pip install scikit-learn
    python3 pack_digits.py

The file is a gzip stream of 1,797 records of 65 bytes in scikit-learn's order: one label byte
(0 to 9), then 64 pixel values (0 to 16), row by row from the top left. Nothing is scaled here;
src/data/digits.rs does that. The stream carries no name and no time, so a rerun with the same
zlib gives the same bytes; the digest printed at the end is of the uncompressed records.
"""

import gzip
import hashlib
import pathlib

import numpy
from sklearn.datasets import load_digits

digits = load_digits()
values = digits.data.astype(numpy.uint8)
labels = digits.target.astype(numpy.uint8)
assert values.shape == (1797, 64) and (values == digits.data).all() and values.max() == 16
assert labels.max() == 9 and (labels == digits.target).all()

records = numpy.hstack([labels[:, None], values]).tobytes()
packed = gzip.compress(records, compresslevel=9, mtime=0)
pathlib.Path(__file__).with_name("digits.bin.gz").write_bytes(packed)
print(f"{len(records)} bytes packed into {len(packed)}, sha256 {hashlib.sha256(records).hexdigest()}")
