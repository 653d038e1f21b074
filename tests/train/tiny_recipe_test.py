# SPDX-License-Identifier: Apache-2.0
"""The bundled model's recipe: what it makes of the data, and a few steps of every stage, ended once in the middle.

usage: tiny_recipe_test.py PROGRAM      exit status 77 where the packages are not in the cache
"""

import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
RECIPE = REPOSITORY / "recipes/train/tiny"
sys.path.insert(0, str(RECIPE))
import easy_vqa  # noqa: E402
import packages  # noqa: E402
import png  # noqa: E402
import prompts  # noqa: E402

PROGRAM = pathlib.Path(sys.argv[1]).resolve()


def cached_base():
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return (cache / "llava/models/SmolLM2-135M-Instruct.Q4_1.gguf").exists()


class Data(unittest.TestCase):
    def test_captions_say_what_the_questions_fix(self):
        for questions, caption in (
                ([("what is the blue shape?", "rectangle")], "a blue rectangle"),
                ([("what color is the circle?", "teal")], "a teal circle"),
                ([("is there not a red shape?", "no"), ("does the image contain a circle?", "yes")], "a red circle"),
                ([("is there a circle?", "no"), ("is no triangle present?", "yes"), ("what color is the shape?", "gray")], "a gray rectangle"),
                ([("is there a circle?", "no"), ("what color is the shape?", "gray")], None),
                ([("is there a red shape?", "no"), ("is there a circle?", "yes")], None)):
            self.assertEqual(easy_vqa.caption(questions), caption)

    def test_prompts_to_measure_on_are_not_trained(self):
        trained = set(prompts.training_prompts())
        self.assertEqual(len(set(prompts.measuring_prompts())), 200)
        self.assertFalse(trained & set(prompts.measuring_prompts()))

    def test_pictures_lose_their_transparency_over_white(self):
        # One row of each filter, 3 pixels wide: red, half transparent black, nothing.
        row = bytes([255, 0, 0, 255, 0, 0, 0, 128, 9, 9, 9, 0])
        rows = [row] * 5
        raw = b"".join(bytes([kind]) + self.filtered(kind, rows, y) for y, kind in enumerate(range(5)))
        header = struct.pack(">IIBBBBB", 3, 5, 8, 6, 0, 0, 0)
        data = png.MAGIC + b"".join(struct.pack(">I", len(body)) + kind + body + b"crc_" for kind, body in
                                    ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")))
        width, height, rgb = png.on_white(data)
        self.assertEqual((width, height), (3, 5))
        self.assertEqual(rgb, bytes([255, 0, 0, 127, 127, 127, 255, 255, 255]) * 5)
        self.assertEqual(png.on_white(png.encode(width, height, rgb)), (width, height, rgb))

    @staticmethod
    def filtered(kind, rows, y):
        row, before, step = rows[y], rows[y - 1] if y else bytes(len(rows[y])), 4
        result = bytearray()
        for i, value in enumerate(row):
            left, up, corner = row[i - step] if i >= step else 0, before[i], before[i - step] if i >= step else 0
            guess = (0, left, up, (left + up) // 2, min((left, up, corner), key=lambda x: abs(left + up - corner - x)))[kind]
            result.append((value - guess) & 255)
        return bytes(result)


class Smoke(unittest.TestCase):
    def test_every_step_is_made_and_goes_on(self):
        if not packages.are_here(packages.default_folder()) or not cached_base():
            self.skipTest("packages or language model are not in the cache")
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, str(RECIPE / "run"), "--smoke", "--out", folder, "--llava", str(PROGRAM), "--threads", "2"]
            subprocess.run([*command, "--until", "contrastive"], check=True, stdout=subprocess.PIPE)
            done = (pathlib.Path(folder) / "done/contrastive.json").stat().st_mtime
            out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
            self.assertEqual((pathlib.Path(folder) / "done/contrastive.json").stat().st_mtime, done)
            model = pathlib.Path(out)
            self.assertLess(sum(path.stat().st_size for path in model.rglob("*") if path.is_file()), 20e6)
            self.assertNotIn("$", (model / "README.md").read_text())
            self.assertEqual(json.loads((model / "config.json").read_text())["mm_vision_tower"], "vision_tower")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
