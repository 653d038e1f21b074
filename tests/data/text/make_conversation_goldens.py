# SPDX-License-Identifier: Apache-2.0
"""Writes conversations.json: prompts of every template of the original package.

Run with a Python that has the original package (llava 1.2.2.post1):
    python make_conversation_goldens.py
Reads nothing; the output is the same every time.
"""

import json
import pathlib

from llava.conversation import conv_templates

# A message is a text, null for an open turn, or {"image": text} for the tuple form.
HISTORIES = {
    "empty": [],
    "open": ["What is this?", None],
    "empty_reply": ["What is this?", ""],
    "image_open": ["<image>\nWhat is this?", None],
    "image_answered": ["<image>\nWhat is this?", "A cat."],
    "two_turns": ["<image>\nHi", "Hello.", "  two  spaces ", None],
    "three_turns": ["Q1", "A1</s>", "Q2", "", "Q3\n", "\u65e5\u672c \U0001f600"],
    "two_images": ["<image> and <image>\nCompare.", None],
    "object": [{"image": " Q1 <image>\n"}, None],
    "object_later": ["Q1", "A1", {"image": "Q2"}, None],
    "objects": [{"image": "<image>\nQ1"}, "A1", {"image": "Q2"}, None],
    "first_open": [None, "A1"],
    "stars": ["<s>begins with the separator", "<s>", "s>", None],
}


def message_of(item):
    return (item["image"], None, "Default") if isinstance(item, dict) else item


def case(name, history):
    conversation = conv_templates[name].copy()
    for i, item in enumerate(HISTORIES[history]):
        conversation.append_message(conversation.roles[i % 2], message_of(item))
    try:
        return {"template": name, "history": history, "prompt": conversation.get_prompt()}
    except (AssertionError, TypeError) as error:
        return {"template": name, "history": history, "error": str(error)}


def main():
    seen, cases = [], []
    for name, conversation in conv_templates.items():
        # The long example of "default" once is enough.
        histories = ["open"] if name == "default" else list(HISTORIES)
        if conversation in seen and name != "default":
            histories = ["two_turns"]
        seen.append(conversation)
        cases += [case(name, history) for history in histories]
    out = pathlib.Path(__file__).with_name("conversations.json")
    out.write_text(json.dumps({"histories": HISTORIES, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
