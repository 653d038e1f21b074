#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes pixels_original.txt and pixels_hf.txt: pixel values of the published image processors.

  python make_pixel_goldens.py original   # environment with the original `llava` package and Pillow 13
  python make_pixel_goldens.py hf         # environment with `transformers` 4.57

Columns: processor mode side width height tiles crc32 (of the float32 values, little-endian, in
memory order, without the zero tiles that pad a batch). The picture is SYN(width, height) of
make_resize_goldens.py; the sizes favour aspect ratios where one axis grows and the other shrinks. Sides
of up to three pixels come last, but for heights of 1 and 3, which the original takes for channels.
"""
import pathlib
import random
import sys
import types
import zlib

import numpy as np

from make_resize_goldens import synthetic

HERE = pathlib.Path(__file__).parent
THIN = [(1, 9), (9, 1), (1, 1), (2, 3), (3, 2), (3, 3), (1, 300), (300, 1)]
CLIP = dict(image_mean=[0.48145466, 0.4578275, 0.40821073], image_std=[0.26862954, 0.26130258, 0.27577711])


def pairs(side):
    return [[side, 2 * side], [2 * side, side], [2 * side, 2 * side], [3 * side, side], [side, 3 * side]]


def sizes(side, count):
    rng = random.Random(side)
    result = [(4, 7), (side, side), (side + 1, side), (side - 20, 2 * side)]
    while len(result) < count:
        width, height = rng.randint(4, 4 * side), rng.randint(4, 4 * side)
        if rng.random() < 0.4:  # narrower than the target and taller
            width, height = rng.randint(4, side), rng.randint(side, 4 * side)
        result.append((width, height))
    return result


def row(processor, mode, side, size, values):
    values = np.ascontiguousarray(np.asarray(values, dtype=np.float32))
    return f"{processor} {mode} {side} {size[0]} {size[1]} {values.shape[0]} {zlib.crc32(values.tobytes()):08x}\n"


def original_rows():
    from llava.mm_utils import process_images
    from transformers import CLIPImageProcessor

    for side, count in ((56, 40), (336, 12)):
        processor = CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side}, **CLIP)
        for mode in ("square", "pad", "anyres"):
            config = types.SimpleNamespace(image_aspect_ratio=mode, image_grid_pinpoints=pairs(side))
            for size in sizes(side, count) + THIN:
                if {"square": size[1], "pad": max(size), "anyres": 0}[mode] in (1, 3):
                    continue
                values = process_images([synthetic(*size)], processor, config)
                values = values["pixel_values"] if mode == "square" and not hasattr(values, "shape") else values
                values = np.asarray(values)
                yield row("clip", mode, side, size, values[0] if values.ndim == 5 else values)


def hf_rows():
    from transformers import (CLIPImageProcessor, LlavaImageProcessor, LlavaNextImageProcessor,
                              LlavaOnevisionImageProcessor, SiglipImageProcessor)

    def num_tiles(size, pinpoints, side):
        from transformers.image_processing_utils import select_best_resolution
        height, width = select_best_resolution(size[::-1], pinpoints)
        return (height // side) * (width // side) + 1

    for side, count in ((56, 40), (336, 10)):
        square = dict(size={"shortest_edge": side}, crop_size={"height": side, "width": side}, **CLIP)
        exact = dict(size={"height": side, "width": side}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
        grid = [[i * side, j * side] for i in range(1, 7) for j in range(1, 7)]
        makers = [("clip", "square", CLIPImageProcessor(**square), None),
                  ("clip", "pad", LlavaImageProcessor(do_pad=True, **square), None),
                  ("siglip", "square", SiglipImageProcessor(**exact), None),
                  ("clip", "anyres", LlavaNextImageProcessor(image_grid_pinpoints=pairs(side), **square), pairs(side)),
                  ("siglip", "onevision", LlavaOnevisionImageProcessor(image_grid_pinpoints=grid, **exact), grid)]
        for name, mode, processor, pinpoints in makers:
            for size in sizes(side, count):
                values = np.asarray(processor(synthetic(*size), return_tensors="np")["pixel_values"])
                if pinpoints:
                    values = values[0][: num_tiles(size, pinpoints, side)]
                yield row(name, mode, side, size, values)


if __name__ == "__main__":
    rules = sys.argv[1]
    rows = {"original": original_rows, "hf": hf_rows}[rules]()
    (HERE / f"pixels_{rules}.txt").write_text("".join(rows))
