#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the geometry tables of tests/llava/image/layout_test.cc.

  python make_geometry_goldens.py original   # environment with the original `llava` package
  python make_geometry_goldens.py hf         # environment with `transformers`

The numbers come from the published code itself: select_best_resolution, resize_and_pad_image and
unpad_image of the original; LlavaNextProcessor and LlavaOnevisionProcessor of transformers.
Columns: set width height canvas_w canvas_h resized_w resized_h paste_x paste_y kept_w kept_h tokens
(kept: after the anyres_max_N shrink where the set has one).
"""
import pathlib
import random
import sys

HERE = pathlib.Path(__file__).parent
SETS = {
    "clip336": (336, 24, [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]], 0),
    "clip56": (56, 4, [[56, 112], [112, 56], [112, 112], [168, 56], [56, 168]], 0),
    "siglip384": (384, 27, [[384, 768], [768, 384], [768, 768], [1152, 384], [384, 1152]], 0),
    "onevision": (384, 27, [[384 * i, 384 * j] for i in range(1, 7) for j in range(1, 7)], 9),
}


def sizes():
    rng = random.Random(20240130)
    result = [(1, 1), (1, 2000), (2000, 1), (3, 3), (704, 396), (205, 984), (1365, 767)]
    result += [(2000, 1500), (336, 336), (672, 672), (384, 384), (337, 336), (100, 60), (60, 100)]
    for _ in range(150):
        result.append((rng.randint(1, 2000), rng.randint(1, 2000)))
    for _ in range(60):  # near the pinpoints' own aspect ratios, where rounding decides
        a, b = rng.choice([(1, 2), (2, 1), (1, 1), (3, 1), (1, 3), (16, 9), (4, 3), (3, 4)])
        k = rng.randint(1, 120)
        result.append((a * k + rng.randint(-1, 1) + 1, b * k + rng.randint(-1, 1) + 1))
    for _ in range(30):
        thin = (rng.randint(1, 4), rng.randint(500, 2000))
        result.append(thin if rng.random() < 0.5 else thin[::-1])
    return result


def original_rows():
    import torch
    from PIL import Image
    from llava.mm_utils import resize_and_pad_image, select_best_resolution
    from llava.model.llava_arch import unpad_image

    for name, (tile, side, pinpoints, max_views) in SETS.items():
        if max_views:
            continue
        for width, height in sizes():
            canvas = select_best_resolution((width, height), [tuple(p) for p in pinpoints])
            white = Image.new("RGB", (width, height), (255, 255, 255))
            left, top, right, bottom = resize_and_pad_image(white, canvas).getbbox()
            grid = (canvas[0] // tile, canvas[1] // tile)
            patches = torch.zeros(1, grid[1] * side, grid[0] * side)
            _, kept_h, kept_w = unpad_image(patches, (width, height)).shape
            tokens = side * side + kept_h * (kept_w + 1)
            yield (name, width, height, *canvas, right - left, bottom - top, left, top, kept_w,
                   kept_h, tokens)


def hf_rows():
    import types

    import numpy as np
    from transformers import LlavaNextImageProcessor, LlavaNextProcessor, LlavaOnevisionProcessor
    from transformers.image_processing_utils import (get_patch_output_size,
                                                     select_best_resolution)
    from transformers.image_utils import ChannelDimension

    tiler = LlavaNextImageProcessor()
    for name, (tile, side, pinpoints, max_views) in SETS.items():
        cls = LlavaOnevisionProcessor if max_views else LlavaNextProcessor
        processor = object.__new__(cls)
        processor.image_processor = types.SimpleNamespace(image_grid_pinpoints=pinpoints)
        processor.patch_size = tile // side
        processor.num_additional_image_tokens = 0
        processor.vision_feature_select_strategy = "full"
        processor.num_image_tokens = side * side
        processor.vision_aspect_ratio = f"anyres_max_{max_views}"
        for width, height in sizes():
            canvas_h, canvas_w = select_best_resolution((height, width), pinpoints)
            shape = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (height, width, 3), (0, 0, 0))
            resized_h, resized_w = get_patch_output_size(shape, (canvas_h, canvas_w), ChannelDimension.LAST)
            (top, _), (left, _) = tiler._get_padding_size((resized_h, resized_w), (canvas_h, canvas_w))
            unpadded, kept_h = processor._get_unpadded_features(
                height, width, side, side, canvas_h // tile, canvas_w // tile)
            tokens = processor._get_number_of_features(height, width, tile, tile)
            kept_w = unpadded // kept_h if kept_h else -1
            yield (name, width, height, canvas_w, canvas_h, resized_w, resized_h, left, top, kept_w,
                   kept_h, tokens)


if __name__ == "__main__":
    rules = sys.argv[1]
    rows = {"original": original_rows, "hf": hf_rows}[rules]()
    text = "".join(" ".join(map(str, row)) + "\n" for row in rows)
    (HERE / f"geometry_{rules}.txt").write_text(text)
