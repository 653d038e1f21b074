# SPDX-License-Identifier: Apache-2.0
"""From the packages to the training files of every stage, in the published JSON schema."""

import json
import random

import easy_vqa
import emoji
import packages

DESCRIBE = "<image>\nDescribe the picture in a few words."
NAME = "<image>\nWhat is this a drawing of?"
SEED = 1


def write(path, value):
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_lines(path, values):
    path.write_text("".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values))


def record(name, image, *turns):
    value = {"id": name, "image": image} if image else {"id": name}
    value["conversations"] = [{"from": "gpt" if i % 2 else "human", "value": turn} for i, turn in enumerate(turns)]
    return value


def shape_captions(split, pictures):
    for picture in pictures:
        caption = easy_vqa.caption(split.questions[picture])
        if caption:
            yield record(f"caption-{picture}", f"{split.name}/{picture}.png", DESCRIBE, caption)


def dialogues(split, pictures):
    """A picture's questions one by one: none must be answered from the answers before it. Stage 2 lets the questions of
    a picture follow each other and computes the picture's rows once for them (`group_by_picture`)."""
    for picture in pictures:
        for number, (question, answer) in enumerate(split.questions[picture]):
            yield record(f"question-{picture}-{number}", f"{split.name}/{picture}.png", f"<image>\n{question}", answer)


def questions(split, pictures):
    """Lines for `llava batch`; the answers stand beside."""
    for picture in pictures:
        for number, (question, answer) in enumerate(split.questions[picture]):
            yield {"id": f"{picture}-{number}", "image": f"{split.name}/{picture}.png", "question": question, "expected": answer}


def make(folder, package_folder, size):
    """Writes pictures and files below `folder`. `size` bounds what is used."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = packages.from_pip(package_folder, "easy-vqa")
    train, test = easy_vqa.Split(wheel, "train"), easy_vqa.Split(wheel, "test")
    for split in (train, test):
        split.write_pictures(folder / "pictures" / split.name)
    held = easy_vqa.held_out(train)
    used = [picture for picture in sorted(train.questions) if picture not in held][:size["pictures"]]
    held = sorted(held)[:size["held_out"]]
    tested = sorted(test.questions)[:size["tested"]]

    drawings = {vendor: packages.from_npm(package_folder, vendor) for vendor in ("google", "twitter")}
    names = dict(list(emoji.names(drawings["google"]).items())[:size["emoji"]])
    for vendor, package in drawings.items():
        emoji.write_pictures(package, vendor, names, folder / "pictures" / vendor)
    named = [record(f"emoji-{file}", f"google/{file}", NAME, name) for file, name in names.items()]

    captions = list(shape_captions(train, used)) + named
    write(folder / "captions.json", captions)
    write(folder / "captions_held_out.json", list(shape_captions(train, held)))
    write(folder / "dialogues.json", list(dialogues(train, used)) + named)
    write_lines(folder / "held_out.jsonl", questions(train, held))
    write_lines(folder / "test.jsonl", questions(test, tested))
    write_lines(folder / "emoji.jsonl", [{"id": file, "image": f"twitter/{file}", "question": NAME.removeprefix("<image>\n"), "expected": name}
                                         for file, name in names.items()])
    return {"captions": len(captions), "pictures": len(used), "emoji": len(names)}


def add_texts(folder, answers):
    """The mix of stage 2: dialogues about pictures, and texts answered by the base itself."""
    mix = json.loads((folder / "dialogues.json").read_text()) + answers
    random.Random(SEED).shuffle(mix)
    write(folder / "mix.json", mix)


def text_records(lines, prompts, most):
    """Prompts with the answers of `llava batch`, those that came to an end within the limit."""
    records = []
    for line in lines:
        if line.get("finish_reason") == "stop" and line["answer"].strip():
            index = line["index"]
            records.append(record(f"text-{index}", None, prompts[index], line["answer"].strip()))
    return records[:most]
