# SPDX-License-Identifier: Apache-2.0
"""The pictures of tests/golden/images."""
import numpy as np
from PIL import Image, ImageDraw

from tiny.folders import IMAGES


def draw_picture(name, size, seed, mode="RGB"):
    """A gradient with a few shapes: every row and column differs."""
    width, height = size
    generator = np.random.Generator(np.random.PCG64(seed))
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    weights = generator.uniform(-1, 1, (3, 3))
    planes = [128 + 110 * np.sin(3 * (a * x + b * y + c)) for a, b, c in weights]
    picture = Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8), "RGB")
    pen = ImageDraw.Draw(picture)
    for shape in (pen.ellipse, pen.rectangle, pen.ellipse):
        cx, cy = generator.uniform(0, width), generator.uniform(0, height)
        radius = min(width, height) * generator.uniform(0.15, 0.35)
        colour = tuple(int(v) for v in generator.integers(0, 256, 3))
        shape([cx - radius, cy - radius, cx + radius, cy + radius], fill=colour)
    if mode == "RGBA":
        alpha = Image.fromarray((255 * (x + y) / 2).astype(np.uint8), "L")
        picture.putalpha(alpha)
    picture.save(IMAGES / name, **({"quality": 92} if name.endswith("jpg") else {}))


def write_pictures():
    IMAGES.mkdir(exist_ok=True)
    draw_picture("landscape_96x64.jpg", (96, 64), 1)
    draw_picture("portrait_45x80.png", (45, 80), 2)
    draw_picture("square_28x28.png", (28, 28), 3)
    draw_picture("thin_2x90.png", (2, 90), 4)
    draw_picture("wide_150x13.png", (150, 13), 5)
    draw_picture("alpha_60x50.png", (60, 50), 6, "RGBA")
