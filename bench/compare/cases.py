# SPDX-License-Identifier: Apache-2.0
"""The named cases of bench/compare/run: each is one row of the table of goals."""

from dataclasses import dataclass
from pathlib import Path

SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass(frozen=True)
class Setup:
    """What each program is started with. `{name}` stands for the file make_models.py writes under that name, `{store
    name}` for the folder that llava quantize makes of it."""

    title: str
    ours: tuple
    shape: str  # of make_models.SHAPES
    model: str
    mmproj: str = ""
    context: int = 2048

    def stores(self):
        """Names of the files that are wanted as stores."""
        return [word[7:-1] for word in self.ours if word.startswith("{store ")]

    def is_of_pictures(self):
        return self.shape == "tiny"

    def names(self):
        """Files to be made before it can run."""
        return [name for name in (self.model, self.mmproj) if name and name not in (SMOLLM2, "tiny")]


@dataclass(frozen=True)
class Case:
    """One row: a command of the programs' dialogue, or `load` and `memory`, and the ratio wanted."""

    title: str
    setup: str
    command: str
    goal: float
    tokens: int = 0  # of each time measured; 0: the time itself is the result


SETUPS = {
    "smollm2": Setup("SmolLM2-135M-Instruct Q4_1 as published", ("--model-path", "{" + SMOLLM2 + "}"),
                     "smollm2-135m", SMOLLM2),
    "tinyllama": Setup("TinyLlama-1.1B shape, 4 bits", ("--shape", "tinyllama-1.1b", "--lm", "q4"),
                       "tinyllama-1.1b", "tinyllama-1.1b-q4_0", "mmproj-2048"),
    "7b": Setup("7B shape, 4 bits", ("--shape", "7b", "--lm", "q4"), "7b", "7b-q4_0", "mmproj-4096"),
    "7b-8bit": Setup("7B shape, 8 bits", ("--shape", "7b", "--lm", "q8"), "7b", "7b-q8_0"),
    "preprocess": Setup("Preprocessing", ("--shape", "tiny"), "tiny", ""),
    # What each opens its weights from: llama.cpp the GGUF file, ours the store that llava quantize made of it, or the
    # same file.
    "tinyllama-store": Setup("TinyLlama-1.1B shape", ("--model-path", "{store tinyllama-1.1b-q4_0}"), "tinyllama-1.1b",
                             "tinyllama-1.1b-q4_0"),
    "tinyllama-file": Setup("TinyLlama-1.1B shape", ("--model-path", "{tinyllama-1.1b-q4_0}"), "tinyllama-1.1b",
                            "tinyllama-1.1b-q4_0"),
    "7b-store": Setup("7B shape", ("--model-path", "{store 7b-q4_0}"), "7b", "7b-q4_0"),
    "7b-file": Setup("7B shape", ("--model-path", "{7b-q4_0}"), "7b", "7b-q4_0"),
}


def _language_cases(setup, prefix, prefill, decode_64, decode_700):
    return {
        f"{prefix}-prefill": Case("prefill 512", setup, "prefill:512", prefill, 512),
        f"{prefix}-decode-64": Case("decode at context 64", setup, "decode:64", decode_64, 1),
        f"{prefix}-decode-700": Case("decode at context 700", setup, "decode:700", decode_700, 1),
    }


CASES = {
    **_language_cases("smollm2", "smollm2", 6.0, 3.0, 3.0),
    **_language_cases("tinyllama", "tinyllama", 2.8, 1.5, 1.6),
    "tinyllama-batch-8": Case("decode, 8 sequences together", "tinyllama", "batch:8", 1.8, 8),
    "tinyllama-encode": Case("CLIP ViT-L/14-336 + projector", "tinyllama", "encode", 3.2),
    "tinyllama-first-token": Case("picture + 40 tokens to first token", "tinyllama", "first_token:40", 3.0),
    "tinyllama-second-question": Case("second question about a picture, beside our own first one", "tinyllama",
                                    "second_question:40", 20.0),
    "tinyllama-load": Case("load of the packed store, file cached", "tinyllama-store", "load", 1.0),
    "tinyllama-load-gguf": Case("load of the same GGUF file, cached", "tinyllama-file", "load", 1.0),
    "tinyllama-memory": Case("peak memory at context 2048", "tinyllama", "memory", 1.0),
    **_language_cases("7b", "7b", 2.8, 1.5, 1.6),
    "7b-batch-8": Case("decode, 8 sequences together", "7b", "batch:8", 1.8, 8),
    "7b-encode": Case("CLIP ViT-L/14-336 + projector", "7b", "encode", 3.2),
    "7b-first-token": Case("picture + 40 tokens to first token", "7b", "first_token:40", 3.0),
    "7b-second-question": Case("second question about a picture, beside our own first one", "7b",
                                    "second_question:40", 20.0),
    "7b-load": Case("load of the packed store, file cached", "7b-store", "load", 15.0),
    "7b-load-gguf": Case("load of the same GGUF file, cached", "7b-file", "load", 5.0),
    "7b-memory": Case("peak memory at context 2048", "7b", "memory", 9.15 / 5.5),
    "7b-8bit-prefill": Case("prefill 512, 8 bits", "7b-8bit", "prefill:512", 3.0, 512),
    "preprocess": Case("336 px from a 12-megapixel JPEG file, beside Pillow: the same bits", "preprocess", "preprocess", 2.0),
    "7b-8bit-decode": Case("decode at context 64, 8 bits", "7b-8bit", "decode:64", 1.4, 1),
}

# Costs against size, measured of our program alone: linear plus the square term of attention, linear, rising.
GROWTH = {
    "prefill": ([64, 128, 256, 512, 1024, 1536, 2000], "prefill:{}"),
    "decode": ([64, 256, 512, 1024, 1536, 2000], "decode:{}"),
    "batch": ([1, 2, 4, 8, 16], "batch:{}"),
}


def choose(pattern):
    """Cases by name, or all whose name starts with a given word and '-'."""
    chosen = []
    for word in pattern.split(","):
        found = [name for name in CASES if name == word or name.startswith(word + "-")]
        if word == "7b":
            found = [name for name in found if not name.startswith("7b-8bit")]
        if not found:
            raise SystemExit(f"no case '{word}'; there are {', '.join(CASES)}")
        chosen += [name for name in found if name not in chosen]
    return chosen


def model_file(folder, name):
    """Where a model of a setup lies: made ones in the folder, the published one in its cache."""
    if name.startswith("store "):
        return Path(folder) / "models" / f"{name[6:]}.store"
    if name == SMOLLM2:
        return Path.home() / ".cache/llava/models" / SMOLLM2
    return Path(folder) / "models" / f"{name}.gguf"
