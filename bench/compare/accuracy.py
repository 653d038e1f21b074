# SPDX-License-Identifier: Apache-2.0
"""Answers of the bundled model in each precision to questions of easy-VQA, for bench/compare/quality.

The data set (PyPI package easy-vqa, MIT) is what the model was trained for. Whole pictures are drawn from a split by a
seed until there are enough questions; `llava batch` answers them all in every precision. An answer is right when it is
the word of the data set and nothing else; how many name it at all stands beside.
"""

import json
import random
import subprocess
import sys
import zipfile
from dataclasses import dataclass

import report

PACKAGE = "easy-vqa==1.0"
# Questions of the train split, about pictures drawn by another seed, that a calibration reads.
CALIBRATION_SEED, CALIBRATION_PICTURES, CALIBRATION_QUESTIONS = 7, 12, 4


@dataclass
class Precision:
    """One row: flags of `llava batch`, or of `llava quantize` for a folder that is made first."""

    title: str
    flags: tuple = ()
    quantize: tuple = ()
    is_calibrated: bool = False


REFERENCE = Precision("bf16 (`--dtype bfloat16`)", ("--dtype", "bfloat16"))
PRECISIONS = [
    REFERENCE,
    Precision("as published: Q4_1 blocks, adapters beside them"),
    Precision("8 bits (`--dtype float32 --load-8bit`)", ("--dtype", "float32", "--load-8bit")),
    Precision("4 bits (`--dtype float32 --load-4bit`)", ("--dtype", "float32", "--load-4bit")),
    Precision("4 bits, adapters merged (`llava quantize --lm q4`)", quantize=("--lm", "q4")),
    Precision("4 bits, merged and calibrated (`llava quantize --lm q4 --calibrate`)", quantize=("--lm", "q4"), is_calibrated=True),
    Precision("4 bits with a minimum, merged and calibrated (`llava quantize --lm q4_min --calibrate`)", quantize=("--lm", "q4_min"),
              is_calibrated=True),
]


def data_set(folder):
    """The folder of the unpacked package, fetched once with pip."""
    target = folder / "easy-vqa"
    if not target.exists():
        report.run_quietly([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), PACKAGE])
        with zipfile.ZipFile(next(folder.glob("easy_vqa-*.whl"))) as archive:
            archive.extractall(target)
    return target / "easy_vqa/data"


def draw_questions(folder, split, count, seed):
    """Questions about pictures of a split, whole pictures in an order that the seed decides."""
    entries = json.loads((folder / split / "questions.json").read_text())
    pictures = sorted({picture for _, _, picture in entries})
    random.Random(seed).shuffle(pictures)
    by_picture = {picture: [] for picture in pictures}
    for question, answer, picture in entries:
        by_picture[picture].append((question, answer, picture))
    drawn = []
    for picture in pictures:
        if len(drawn) >= count:
            break
        drawn += by_picture[picture]
    return drawn


def write_calibration(data, path):
    """Some questions about each of some training pictures, as `llava quantize --calibrate` reads them."""
    images = data / "train/images"
    pictures = {}
    for question, _, picture in draw_questions(data, "train", 40 * CALIBRATION_PICTURES, CALIBRATION_SEED):
        pictures.setdefault(picture, []).append(question)
    samples = [{"text": question, "image": str(images / f"{picture}.png")}
               for picture in list(pictures)[:CALIBRATION_PICTURES] for question in pictures[picture][:CALIBRATION_QUESTIONS]]
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))


def answers_of(arguments, work, index, precision, questions_file, images):
    """What `llava batch` answers, in order."""
    flags = list(precision.flags)
    llava = str(arguments.build / "bin/llava")
    if precision.quantize:
        store = work / f"store-{index}"
        calibration = ["--calibrate", str(work / "calibration.jsonl")] if precision.is_calibrated else []
        report.run_quietly([llava, "quantize", "--output", str(store), *precision.quantize, *calibration])
        flags += ["--model-path", str(store)]
    output = work / f"answers-{index}.jsonl"
    report.run_quietly([llava, "batch", "--input", str(questions_file), "--image-folder", str(images), "--output", str(output),
                        "--max-new-tokens", "8", *flags])
    # A record that has an error instead of an answer is a wrong one.
    return [json.loads(line).get("answer", "").strip() for line in output.read_text().splitlines()]


def measure(arguments, work):
    """Lines of Markdown: a table of the accuracy in every precision."""
    data = data_set(arguments.folder)
    questions = draw_questions(data, arguments.split, arguments.questions, arguments.seed)
    print(f"{len(questions)} questions of the {arguments.split} split, seed {arguments.seed}", flush=True)
    questions_file = work / "questions.jsonl"
    questions_file.write_text("".join(json.dumps({"id": i, "question": question, "image": f"{picture}.png"}) + "\n"
                                      for i, (question, _, picture) in enumerate(questions)))
    images = data / arguments.split / "images"
    write_calibration(data, work / "calibration.jsonl")
    right, named = {}, {}
    for index, precision in enumerate(PRECISIONS):
        answers = answers_of(arguments, work, index, precision, questions_file, images)
        right[precision.title] = [answer == expected for answer, (_, expected, _) in zip(answers, questions, strict=True)]
        named[precision.title] = sum(expected in answer for answer, (_, expected, _) in zip(answers, questions))
        print(precision.title, sum(right[precision.title]), flush=True)
    reference = right[REFERENCE.title]
    rows = []
    for title, found in right.items():
        lost = sum(was and not now for was, now in zip(reference, found))
        won = sum(now and not was for was, now in zip(reference, found))
        rows.append([title, f"{100 * sum(found) / len(found):.2f} %", f"{100 * (won - lost) / len(found):+.2f}", f"{lost}", f"{won}",
                     f"{100 * named[title] / len(found):.2f} %"])
    pictures = len({picture for _, _, picture in questions})
    return [f"The bundled model (`models/tiny-llava-smollm2`) on {len(questions)} questions about {pictures} pictures of easy-VQA's {arguments.split} split",
            f"(PyPI package `{PACKAGE}`; pictures drawn with seed {arguments.seed}), answered greedily by `llava batch`. The vision tower is not quantised; the projector",
            f"has 8 bits beside quantised matrices. The calibration reads {CALIBRATION_PICTURES * CALIBRATION_QUESTIONS} questions of the train split.", "",
            *report.table(["precision of the language model", "right", "points above bf16", "right in bf16 only", "right here only", "names the word"], rows)]
