# SPDX-License-Identifier: Apache-2.0
"""easy-VQA (PyPI package easy-vqa, MIT): pictures of one coloured shape, and questions about them."""

import json
import random
import re
import zipfile
from collections import defaultdict

SHAPES = {"circle", "rectangle", "triangle"}
COLORS = {"green", "red", "gray", "teal", "black", "yellow", "brown", "blue"}
HELD_OUT = 400
SEED = 20


def kind_of(answer):
    """How results are reported: yes, no, shape or color."""
    if answer in ("yes", "no"):
        return answer
    return "shape" if answer in SHAPES else "color"


class Split:
    """The pictures of a split by number, and their questions in the file's order."""

    def __init__(self, wheel, name):
        self.name = name
        self.archive = zipfile.ZipFile(wheel)
        self.questions = defaultdict(list)
        for question, answer, picture in json.loads(self.archive.read(f"easy_vqa/data/{name}/questions.json")):
            self.questions[picture].append((question, answer))

    def write_pictures(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        for picture in self.questions:
            (folder / f"{picture}.png").write_bytes(self.archive.read(f"easy_vqa/data/{self.name}/images/{picture}.png"))


def held_out(split):
    """The train pictures that every choice is made on and nothing is trained on."""
    pictures = sorted(split.questions)
    random.Random(SEED).shuffle(pictures)
    return set(pictures[:HELD_OUT])


def fixed(known, denied, all_words):
    """The one word that is left, or None."""
    left = known or all_words - denied
    return next(iter(left)) if len(left) == 1 else None


def caption(questions):
    """What a picture's own questions say of it: "a red circle", or None where they leave colour or shape open."""
    known, denied = set(), set()
    for question, answer in questions:
        words = set(re.findall(r"[a-z]+", question))
        is_denied = answer in ("yes", "no") and (answer == "yes") == bool(words & {"not", "no"})
        (denied if is_denied else known).update((words | {answer}) & (SHAPES | COLORS))
    shape = fixed(known & SHAPES, denied, SHAPES)
    color = fixed(known & COLORS, denied, COLORS)
    return f"a {color} {shape}" if shape and color else None
