"""Prints the bytes that Pillow 10 gives for a picture that is resized, as `src/data/resample.rs` has them in its tests.

    python make_resized.py        # needs pillow==10.4.0
"""

import zlib

from PIL import Image

# Height and width of the picture, then of the result.
CASES = [((23, 31), (8, 8)), ((5, 6), (9, 8)), ((40, 7), (6, 12)), ((64, 48), (4, 3))]


def pixel(y, x):
    return ((x * 37 + y * 91) % 256, (x * x + 3 * y) % 256, 255 * ((x // 3 + y // 2) % 2))


for (height, width), (rows, columns) in CASES:
    picture = Image.new("RGB", (width, height))
    picture.putdata([pixel(y, x) for y in range(height) for x in range(width)])
    data = picture.resize((columns, rows), Image.Resampling.BILINEAR).tobytes()
    print(f"([{height}, {width}], [{rows}, {columns}], {list(data[:6])}, {zlib.adler32(data):#010x}),")
