#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records what the published software computes, for `llava parity` to compare with.

Run it in a Python environment of your own that has either `transformers` (4.4x or later) or the
original `llava` package; this project's program never needs it. It writes one *reference bundle*
(a safetensors file, format `llava-reference/1`) for each picture and question:

    # a llava-hf checkpoint (LlavaForConditionalGeneration, LlavaNextForConditionalGeneration)
    make_reference.py --model-path llava-1.5-7b-hf --image cat.jpg --query "What is this?" --output refs
    llava parity --model-path llava-1.5-7b-hf --reference refs

    # a checkpoint in the original layout, where the `llava` package is installed
    make_reference.py --model-path llava-v1.6-mistral-7b --image cat.jpg --query "What is this?" \\
        --dtype float16 --output refs

    # a LoRA or projector-only folder: over its base
    make_reference.py --model-path llava-v1.5-7b-lora --model-base vicuna-7b-v1.5 ... --output refs

    # the same without the original package: transformers and peft, adapters left unmerged; the
    # base may be a GGUF file
    make_reference.py --model-path tiny-llava-smollm2 --model-base SmolLM2.gguf --conv-mode qwen_1_5 ...

Which software computes follows from the contents of --model-path:

    config.json with `text_config`            transformers' own LLaVA classes
    original layout, `llava` importable       the original package (adapters merged, as it does)
    LoRA or projector-only folder otherwise,  transformers for the language model and the tower,
    or --lora unmerged                        peft for the adapters, scripts/reference for the splice
    anything else                             an error that says what to install

Every combination of --image and --query becomes a bundle; with --together all pictures go into
one prompt. A query may place its pictures itself with `<image>`; otherwise they stand in front of
it, as the program that is recorded does. --reply adds the answer, for `labels` and `loss`.
"""
import argparse
import os
import pathlib
import sys

import reference
from reference import UsageError


def parse_layers(text):
    if text == "all":
        return "all"
    names = {"first": 1, "last": -1}
    try:
        return [names[part] if part in names else int(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--layers '{text}': expected all, or a list of first, last and numbers") from error


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-path", required=True, help="checkpoint folder")
    parser.add_argument("--model-base", help="base folder or GGUF file of a LoRA or projector-only checkpoint")
    parser.add_argument("--model-name", help="the name by which the original package decides (default: the folder's)")
    parser.add_argument("--image", action="append", default=[], help="picture; may be given several times")
    parser.add_argument("--query", action="append", default=[], help="question; may be given several times")
    parser.add_argument("--prompt", help="a whole prompt instead of --query, used as it is")
    parser.add_argument("--reply", help="the answer, for labels and loss (original package only)")
    parser.add_argument("--together", action="store_true", help="all pictures in one prompt")
    parser.add_argument("--conv-mode", help="conversation template (default: what the model's name says)")
    parser.add_argument("--image-aspect-ratio", choices=["pad", "square", "anyres"])
    parser.add_argument("--dtype", choices=list(reference.DTYPES), default="float32", help="what to compute in")
    parser.add_argument("--lora", choices=["merged", "unmerged"], help="default: merged with the original package")
    parser.add_argument("--max-new-tokens", type=int, default=24, help="greedy continuation; 0 for none")
    parser.add_argument("--layers", default="all", help="decoder hidden states to keep: all, or e.g. first,last or 1,16")
    parser.add_argument("--logits", type=int, default=2, help="positions, from the end, whose logits are kept")
    parser.add_argument("--without", default="", help="tensors to leave out, e.g. vision_hidden,inputs_embeds")
    parser.add_argument("--output", required=True, help="folder for the bundles")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    queries = arguments.query if arguments.prompt is None else [None]
    if not queries:
        raise UsageError("give --query or --prompt")
    pictures = [[image] for image in arguments.image] or [[]]
    if arguments.together:
        pictures = [arguments.image]
    options = reference.Options(
        layers=parse_layers(arguments.layers),
        logits=arguments.logits,
        without=frozenset(part for part in arguments.without.split(",") if part),
    )
    recorded = reference.open_reference(
        arguments.model_path, arguments.model_base, arguments.dtype, arguments.lora, arguments.model_name
    )
    if arguments.model_base is not None:
        options.metadata["model_base"] = os.path.relpath(arguments.model_base, arguments.output)
    for number, (images, query) in enumerate((images, query) for images in pictures for query in queries):
        stem = pathlib.Path(images[0]).stem if images else "text"
        case = reference.Case(
            name=f"{number:02d}_{stem}",
            images=images,
            query=query,
            prompt=arguments.prompt,
            conv_mode=arguments.conv_mode,
            reply=arguments.reply,
            image_aspect_ratio=arguments.image_aspect_ratio,
            max_new_tokens=arguments.max_new_tokens,
        )
        tensors, metadata = reference.record(recorded, case, arguments.output, options)
        print(f"{arguments.output}/{case.name}.safetensors: {len(tensors)} tensors, {metadata.get('text', '')!r}")


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        print(f"make_reference: {error}", file=sys.stderr)
        sys.exit(2)
