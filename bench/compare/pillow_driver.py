# SPDX-License-Identifier: Apache-2.0
"""Prepares pictures with Pillow and NumPy as CLIP's published image processor does, under the control of run.

    preprocess:FILE    a picture file to float32 values [3, 336, 336]: {"ms": [...], "sha256": ...}
    picture:FILE       writes the picture that is measured: a JPEG file of 4000 x 3000
"""

import hashlib
import json
import sys
import time

import numpy as np
import PIL
from PIL import Image

SIDE = 336
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def prepare(path):
    with Image.open(path) as file:
        picture = file.convert("RGB")
    width, height = picture.size
    shorter = min(width, height)
    width, height = int(SIDE * width / shorter), int(SIDE * height / shorter)
    small = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))
    top, left = (height - SIDE) // 2, (width - SIDE) // 2
    view = small[top:top + SIDE, left:left + SIDE]
    values = (view.astype(np.float64) * (1 / 255)).astype(np.float32)
    return np.ascontiguousarray(((values - MEAN) / DEVIATION).transpose(2, 0, 1))


def write_picture(path):
    """Soft shapes with some grain: compresses about as a photograph does."""
    random = np.random.default_rng(5)
    soft = Image.fromarray(random.integers(0, 256, (75, 100, 3), np.uint8)).resize((4000, 3000), Image.Resampling.BICUBIC)
    grain = random.normal(0, 6, (3000, 4000, 1))
    Image.fromarray(np.clip(np.asarray(soft) + grain, 0, 255).astype(np.uint8)).save(path, quality=90)


def main():
    print(json.dumps({"program": f"Pillow {PIL.__version__}, NumPy {np.__version__}", "load_ms": 0}), flush=True)
    for line in sys.stdin:
        name, _, path = line.strip().partition(":")
        if name == "picture":
            write_picture(path)
            answer = {}
        elif name == "preprocess":
            start = time.monotonic()
            values = prepare(path)
            answer = {"ms": [1000 * (time.monotonic() - start)], "sha256": hashlib.sha256(values.tobytes()).hexdigest()}
        else:
            answer = {"error": f"Pillow is not measured on '{name}'"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
