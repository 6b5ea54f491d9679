#!/usr/bin/env python3
"""Makes figures-regular.otf and figures-semibold.otf, the letters in the PNG figures of reports.

    pip install fonttools
    python3 subset_font.py FOLDER

FOLDER holds Inter-Regular.otf and Inter-SemiBold.otf (Inter 4.0, https://rsms.me/inter, or Debian's fonts-inter).
Kept are the letters of Western European languages, Greek, and the signs that labels use; hinting and
alternative forms go. The result is the same, byte for byte, for the same font and version of fonttools.
"""

import pathlib
import sys

from fontTools.subset import Options, Subsetter, load_font, save_font

CHARACTERS = [*range(0x20, 0x7F), *range(0xA0, 0x100), *range(0x391, 0x3CA), *map(ord, "‐‑–—‘’“”…‖·×−±≤≥≈∞∇√∑₀₁₂₃⁰⁴⁻→")]

for weight in ["Regular", "SemiBold"]:
    options = Options()
    options.layout_features = ["kern", "tnum"]
    options.hinting = False
    options.name_IDs = [0, 1, 2, 3, 4, 6, 13, 14, 16, 17]
    options.drop_tables += ["DSIG", "STAT"]
    font = load_font(str(pathlib.Path(sys.argv[1]) / f"Inter-{weight}.otf"), options)
    font.recalcTimestamp = False
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=CHARACTERS)
    subsetter.subset(font)
    target = pathlib.Path(__file__).with_name(f"figures-{weight.lower()}.otf")
    save_font(font, str(target), options)
    print(f"{target.name}: {target.stat().st_size} bytes, {len(font.getGlyphOrder())} glyphs")
