#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes resize.txt: Pillow's bicubic resize of synthetic pictures at random sizes.

Needs Pillow and numpy. Columns: source_w source_h target_w target_h crc32_of_rgb_bytes.
The picture is SYN(W, H) of resize_test.cc; every tenth row is a thin one.
"""
import pathlib
import random
import zlib

import numpy as np
from PIL import Image


def synthetic(width, height):
    x, y = np.meshgrid(np.arange(width, dtype=np.int64), np.arange(height, dtype=np.int64))
    red = (7 * x + 13 * y + (x * y) % 251) % 256
    green = (3 * x + 5 * y + 64 + 100 * ((x // 8 + y // 8) % 2)) % 256
    blue = ((x * x + 3 * y * y) // 16) % 256
    return Image.fromarray(np.stack([red, green, blue], axis=-1).astype(np.uint8), "RGB")


def main():
    rng = random.Random(522)
    rows = []
    for index in range(240):
        longest = rng.choice([40, 200, 700, 2000])
        source = [rng.randint(1, longest), rng.randint(1, longest)]
        target = [rng.randint(1, rng.choice([60, 400, 900])) for _ in range(2)]
        if index % 10 == 0:
            source[rng.randint(0, 1)] = rng.randint(1, 3)
        if index % 12 == 5:
            target[rng.randint(0, 1)] = source[0]
        if index % 12 == 7:
            target[0] = source[0]
        pixels = synthetic(*source).resize(tuple(target), Image.BICUBIC).tobytes()
        rows.append(f"{source[0]} {source[1]} {target[0]} {target[1]} {zlib.crc32(pixels):08x}\n")
    (pathlib.Path(__file__).parent / "resize.txt").write_text("".join(rows))


if __name__ == "__main__":
    main()
