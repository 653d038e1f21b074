#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes reduced.txt: the JPEG files of pictures/ at a half, a quarter and an eighth of their sides, as Pillow's draft mode decodes them.

Needs Pillow 13. Columns: file, divisor, width, height, SHA-256 of the RGB bytes. Run after make_picture_goldens.py.
"""
import hashlib
import pathlib

from PIL import Image

HERE = pathlib.Path(__file__).parent


def main():
    lines = []
    for path in sorted((HERE / "pictures").glob("*.jpg")):
        for divisor in (2, 4, 8):
            try:
                with Image.open(path) as image:
                    image.draft("RGB", (max(1, image.width // divisor), max(1, image.height // divisor)))
                    reduced = image.convert("RGB")
                    if reduced.size == Image.open(path).size:
                        continue  # too small
            except OSError:
                continue  # damaged
            lines.append(f"{path.name} {divisor} {reduced.width} {reduced.height} {hashlib.sha256(reduced.tobytes()).hexdigest()}\n")
    (HERE / "reduced.txt").write_text("".join(lines))


if __name__ == "__main__":
    main()
