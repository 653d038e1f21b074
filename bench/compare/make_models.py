#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes GGUF files of random numbers in the shapes of published models, for bench/compare/run.

    make_models.py FOLDER NAME ...      NAME is SHAPE-FORM, as 7b-q4_0, or mmproj-WIDTH, as mmproj-4096

Shapes: 7b, tinyllama-1.1b, smollm2-135m, tiny. Forms: f16, q4_0, q8_0, q4_k_m, with the output head and, in q4_k_m, half of
the value and down projections in Q6_K where llama-quantize puts them. mmproj is the CLIP tower of LLaVA-1.5 and
its projector to WIDTH, in float16. A file that is there is kept. The numbers have the size of trained ones, so
that nothing overflows; the text they make is nonsense. Needs NumPy.
"""

import argparse
import shutil
import struct
import sys
from pathlib import Path

import numpy as np

SHAPES = {
    "7b": dict(layers=32, width=4096, ffn=11008, heads=32, kv_heads=32, vocabulary=32000),
    "tinyllama-1.1b": dict(layers=22, width=2048, ffn=5632, heads=32, kv_heads=4, vocabulary=32000),
    "smollm2-135m": dict(layers=30, width=576, ffn=1536, heads=9, kv_heads=3, vocabulary=49152),
    "tiny": dict(layers=2, width=256, ffn=768, heads=4, kv_heads=4, vocabulary=1000),
}
# Number in the file, elements of a block, bytes of a block.
FORMS = {"f32": (0, 1, 4), "f16": (1, 1, 2), "q4_0": (2, 32, 18), "q8_0": (8, 32, 34), "q4_k": (12, 256, 144),
         "q6_k": (14, 256, 210)}
FILE_TYPES = {"f16": 1, "q4_0": 2, "q8_0": 7, "q4_k_m": 15}
ALIGNMENT = 32
DEVIATION = 0.02
CHUNK = 1 << 24  # elements made at a time

random = np.random.Generator(np.random.PCG64(20240607))


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


class GgufFile:
    """Key-value pairs and tensors of random numbers, written in one pass."""

    SCALARS = {"u32": (4, "<I"), "f32": (6, "<f"), "bool": (7, "<?")}

    def __init__(self):
        self.values, self.tensors = [], []

    def put(self, key, kind, value):
        number, form = self.SCALARS[kind]
        self.values.append(text(key) + struct.pack("<I", number) + struct.pack(form, value))

    def put_text(self, key, value):
        self.values.append(text(key) + struct.pack("<I", 8) + text(value))

    def put_list(self, key, kind, values):
        number = {"text": 8, "i32": 5, "f32": 6}[kind]
        if kind == "text":
            data = b"".join(text(value) for value in values)
        else:
            data = np.asarray(values, "<i4" if kind == "i32" else "<f4").tobytes()
        self.values.append(text(key) + struct.pack("<IIQ", 9, number, len(values)) + data)

    def put_tensor(self, name, sizes, form, mean=0.0, deviation=DEVIATION):
        """`sizes` with the row length first, as the format has them."""
        self.tensors.append((name, sizes, form, mean, deviation))

    @staticmethod
    def num_bytes(sizes, form):
        _, elements, num_bytes = FORMS[form]
        return int(np.prod(sizes)) // elements * num_bytes

    def total_bytes(self):
        return sum(self.num_bytes(sizes, form) for _, sizes, form, _, _ in self.tensors)

    def write(self, path):
        free = shutil.disk_usage(path.parent).free
        if self.total_bytes() + (1 << 30) > free:
            sys.exit(f"{path} needs {self.total_bytes() / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free")
        partial = path.with_suffix(".part")
        with open(partial, "wb", buffering=1 << 20) as file:
            file.write(b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.values)))
            file.write(b"".join(self.values))
            offset = 0
            for name, sizes, form, _, _ in self.tensors:
                assert sizes[0] % FORMS[form][1] == 0, f"{name}: rows are no multiple of the block"
                file.write(text(name) + struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes))
                file.write(struct.pack("<IQ", FORMS[form][0], offset))
                offset += -(-self.num_bytes(sizes, form) // ALIGNMENT) * ALIGNMENT
            file.write(bytes(-file.tell() % ALIGNMENT))
            for _, sizes, form, mean, deviation in self.tensors:
                left = int(np.prod(sizes))
                while left > 0:
                    file.write(numbers(form, min(left, CHUNK), mean, deviation))
                    left -= min(left, CHUNK)
                file.write(bytes(-file.tell() % ALIGNMENT))
        partial.rename(path)
        print(f"{path}: {len(self.tensors)} tensors, {path.stat().st_size / 1e9:.3f} GB", flush=True)


def raw_bytes(blocks, count):
    return np.frombuffer(random.bytes(blocks * count), np.uint8).reshape(blocks, count)


def half(blocks, value):
    """Scales around a value, as bytes of float16."""
    scales = value * random.uniform(0.8, 1.2, blocks).astype(np.float32)
    return scales.astype("<f2").view(np.uint8).reshape(blocks, 2)


def numbers(form, count, mean, deviation):
    if form in ("f32", "f16"):
        values = mean + deviation * random.standard_normal(count, dtype=np.float32)
        return values.astype("<f4" if form == "f32" else "<f2").tobytes()
    blocks = count // FORMS[form][1]
    # The deviation of evenly spread codes 0 .. n-1 is n / sqrt(12).
    code = deviation * 12 ** 0.5
    if form == "q4_0":  # scale, 32 codes of 4 bits
        parts = [half(blocks, code / 16), raw_bytes(blocks, 16)]
    elif form == "q8_0":  # scale, 32 codes of 8 bits
        parts = [half(blocks, code / 256), raw_bytes(blocks, 32)]
    elif form == "q4_k":  # scale, scale of minima, 8 + 8 scales of 6 bits, 256 codes of 4 bits
        parts = [half(blocks, code / 16 / 32), half(blocks, code / 2 / 32), raw_bytes(blocks, 12), raw_bytes(blocks, 128)]
    else:  # q6_k: 256 codes of 4 low and 2 high bits, 16 scales of 8 bits, scale
        scales = random.integers(8, 24, (blocks, 16), dtype=np.uint8)
        parts = [raw_bytes(blocks, 128), raw_bytes(blocks, 64), scales, half(blocks, code / 64 / 16)]
    return np.concatenate(parts, axis=1).tobytes()


def put_vocabulary(gguf, size):
    """Bytes, characters and made-up words; any text has tokens, none has a meaning."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{value:02X}>" for value in range(256)]
    kinds = [2, 3, 3] + [6] * 256
    tokens += [chr(code) for code in range(33, 127)] + ["\u2581"]
    tokens += [f"\u2581w{number}" for number in range(size - len(tokens))]
    kinds += [1] * (size - len(kinds))
    gguf.put_text("tokenizer.ggml.model", "llama")
    gguf.put_list("tokenizer.ggml.tokens", "text", tokens)
    gguf.put_list("tokenizer.ggml.scores", "f32", [0.0] * 259 + [-float(i) for i in range(size - 259)])
    gguf.put_list("tokenizer.ggml.token_type", "i32", kinds)
    gguf.put("tokenizer.ggml.bos_token_id", "u32", 1)
    gguf.put("tokenizer.ggml.eos_token_id", "u32", 2)
    gguf.put("tokenizer.ggml.unknown_token_id", "u32", 0)
    gguf.put("tokenizer.ggml.add_bos_token", "bool", True)


def language_model(shape_name, form):
    s = SHAPES[shape_name]
    head = s["width"] // s["heads"]
    gguf = GgufFile()
    gguf.put_text("general.architecture", "llama")
    gguf.put_text("general.name", f"random-{shape_name}-{form}")
    gguf.put("general.file_type", "u32", FILE_TYPES[form])
    gguf.put("general.quantization_version", "u32", 2)
    for key, value in (("context_length", 4096), ("embedding_length", s["width"]), ("block_count", s["layers"]),
                       ("feed_forward_length", s["ffn"]), ("rope.dimension_count", head),
                       ("attention.head_count", s["heads"]), ("attention.head_count_kv", s["kv_heads"]),
                       ("vocab_size", s["vocabulary"])):
        gguf.put("llama." + key, "u32", value)
    gguf.put("llama.attention.layer_norm_rms_epsilon", "f32", 1e-5)
    gguf.put("llama.rope.freq_base", "f32", 10000.0)
    put_vocabulary(gguf, s["vocabulary"])
    base = "q4_k" if form == "q4_k_m" else form
    large = "q6_k" if form == "q4_k_m" else form
    width, ffn, kv = s["width"], s["ffn"], head * s["kv_heads"]
    gguf.put_tensor("token_embd.weight", (width, s["vocabulary"]), base)
    for layer in range(s["layers"]):
        eighth = s["layers"] // 8
        is_large = layer < eighth or layer >= 7 * eighth or (layer - eighth) % 3 == 2
        mixed = large if is_large else base
        p = f"blk.{layer}."
        for name, sizes, kind in (("attn_q", (width, width), base), ("attn_k", (width, kv), base),
                                  ("attn_v", (width, kv), mixed), ("attn_output", (width, width), base),
                                  ("ffn_gate", (width, ffn), base), ("ffn_up", (width, ffn), base),
                                  ("ffn_down", (ffn, width), mixed)):
            gguf.put_tensor(f"{p}{name}.weight", sizes, kind)
        for name in ("attn_norm", "ffn_norm"):
            gguf.put_tensor(f"{p}{name}.weight", (width,), "f32", 1.0, 0.05)
    gguf.put_tensor("output_norm.weight", (width,), "f32", 1.0, 0.05)
    gguf.put_tensor("output.weight", (width, s["vocabulary"]), "q6_k" if form.startswith("q4") else base)
    return gguf


def vision_model(projection):
    width, ffn, layers, side, patch = 1024, 4096, 24, 336, 14
    gguf = GgufFile()
    gguf.put_text("general.architecture", "clip")
    gguf.put_text("general.name", "random-clip-vit-large-patch14-336")
    gguf.put("general.file_type", "u32", FILE_TYPES["f16"])
    for key, value in (("has_text_encoder", False), ("has_vision_encoder", True), ("has_llava_projector", True),
                       ("use_gelu", False)):
        gguf.put("clip." + key, "bool", value)
    gguf.put_text("clip.projector_type", "mlp")
    # The program measured leaves out the last block it is told of: 24 here is the 23 that LLaVA-1.5 needs.
    for key, value in (("image_size", side), ("patch_size", patch), ("embedding_length", width),
                       ("feed_forward_length", ffn), ("projection_dim", 768), ("attention.head_count", 16),
                       ("block_count", layers)):
        gguf.put("clip.vision." + key, "u32", value)
    gguf.put("clip.vision.attention.layer_norm_epsilon", "f32", 1e-5)
    gguf.put_list("clip.vision.image_mean", "f32", [0.48145466, 0.4578275, 0.40821073])
    gguf.put_list("clip.vision.image_std", "f32", [0.26862954, 0.26130258, 0.27577711])

    def linear(name, inputs, outputs):
        gguf.put_tensor(name + ".weight", (inputs, outputs), "f16")
        gguf.put_tensor(name + ".bias", (outputs,), "f32", 0.0, 0.01)

    def norm(name):
        gguf.put_tensor(name + ".weight", (width,), "f32", 1.0, 0.05)
        gguf.put_tensor(name + ".bias", (width,), "f32", 0.0, 0.01)

    gguf.put_tensor("v.class_embd", (width,), "f32")
    gguf.put_tensor("v.patch_embd.weight", (patch, patch, 3, width), "f16")
    gguf.put_tensor("v.position_embd.weight", (width, (side // patch) ** 2 + 1), "f16")
    norm("v.pre_ln")
    for layer in range(layers):
        p = f"v.blk.{layer}."
        norm(p + "ln1")
        norm(p + "ln2")
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            linear(p + name, width, width)
        linear(p + "ffn_up", width, ffn)
        linear(p + "ffn_down", ffn, width)
    linear("mm.0", width, projection)
    linear("mm.2", projection, projection)
    return gguf


def make(folder, name):
    """Writes FOLDER/NAME.gguf unless it is there; its path."""
    path = Path(folder) / f"{name}.gguf"
    if path.exists():
        return path
    start, _, end = name.rpartition("-")
    if start == "mmproj" and end.isdigit():
        gguf = vision_model(int(end))
    elif start in SHAPES and end in FILE_TYPES:
        gguf = language_model(start, end)
    else:
        sys.exit(f"{name}: expected SHAPE-FORM or mmproj-WIDTH; shapes {', '.join(SHAPES)}, forms {', '.join(FILE_TYPES)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    gguf.write(path)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+", metavar="name")
    arguments = parser.parse_args()
    for name in arguments.names:
        make(arguments.folder, name)


if __name__ == "__main__":
    main()
