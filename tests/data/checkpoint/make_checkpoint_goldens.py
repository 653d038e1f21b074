#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the golden files of this folder from the published libraries.

    python3 make_checkpoint_goldens.py

Needs torch, transformers 4.57, gguf, safetensors and numpy. Deterministic: every random number comes
from a fixed seed. Writes

  torch/*.bin, torch/expected.json      files saved by torch.save (and re-zipped), every tensor's bytes
  hostile/*.bin, hostile/expected.json  archives that must be refused, with words of the message
  gguf/*.gguf, gguf/expected.safetensors, gguf/expected.json
                                        every supported type and its values by gguf.quants, a tiny
                                        llama file with permuted rows, metadata of every type
  configs.json                          config.json of published shapes, resolved by transformers' own
                                        configuration classes
"""
import collections
import io
import json
import math
import pickle
import struct
import zipfile
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import LlavaConfig, LlavaNextConfig, LlamaConfig, MistralConfig, Qwen2Config

HERE = Path(__file__).resolve().parent


def fresh(name):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    return folder


def describe(tensor):
    raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8) if tensor.numel() else tensor.new_zeros(0)
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "hex": bytes(raw.numpy()).hex() if tensor.numel() else "",
    }


def zip_of(entries, path, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, compression)


def entries_of(path):
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def make_torch():
    folder = fresh("torch")
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(6, 5, generator=generator)
    plain = {
        name: (values * 100).to(getattr(torch, name))
        for name in ["float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8"]
    }
    plain["uint8"] = torch.arange(7, dtype=torch.uint8)
    plain["bool"] = values > 0
    plain["scalar"] = torch.tensor(2.5)
    plain["empty"] = torch.zeros(0, 3)
    base = torch.arange(24, dtype=torch.float32)
    views = {
        "whole": base,
        "tied": base,
        "matrix": base.view(4, 6),
        "transposed": base.view(4, 6).t(),
        "tail": base[20:],
        "column": base.view(4, 6)[:, 2],
        "every_other": base[::2],
        "permuted": base.view(2, 3, 4).permute(2, 0, 1),
        "row_of_one": base.view(1, 24)[:, 3:7],
    }
    linear = torch.nn.Linear(3, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.arange(6).view(2, 3))
        linear.bias.copy_(torch.arange(2))
    cases = {
        "dtypes": (plain, plain),
        "views": (views, views),
        # An OrderedDict with attributes: the pickle ends in BUILD.
        "state_dict": (linear.state_dict(), dict(linear.state_dict())),
        "parameter": ({"p": linear.weight}, {"p": linear.weight}),
        "wrapped": ({"state_dict": plain, "epoch": 3, "note": "x", "lr": 0.5}, plain),
        "wrapped_model": ({"model": linear.state_dict()}, dict(linear.state_dict())),
        "skipped": ({"t": base, "step": 7, "name": "n", "list": [1, (2, None)], "flag": True}, {"t": base}),
        "nothing": ({}, {}),
    }
    expected = {}
    for name, (saved, tensors) in cases.items():
        torch.save(saved, folder / f"{name}.bin")
        expected[f"{name}.bin"] = {key: describe(t) for key, t in tensors.items()}
    torch.save({"a": base}, folder / "protocol4.bin", pickle_protocol=4)
    expected["protocol4.bin"] = {"a": describe(base)}
    # The same content with ZIP64 records everywhere, as files above 4 GB have them.
    limits = zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT
    zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = 1, 0
    zip_of(entries_of(folder / "views.bin"), folder / "zip64.bin")
    zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = limits
    expected["zip64.bin"] = expected["views.bin"]
    # The form of newer element types: bytes, an offset and strides in elements, and the type.
    pickled = (
        b"\x80\x02}X\x01\x00\x00\x00hctorch._utils\n_rebuild_tensor_v3\n((X\x07\x00\x00\x00storage"
        b"ctorch.storage\nUntypedStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x10tQK\x01K\x02K\x03\x86"
        b"K\x03K\x01\x86\x89ccollections\nOrderedDict\n)Rctorch\nfloat16\ntRs."
    )
    halves = torch.arange(8, dtype=torch.float16)
    raw = bytes(halves.view(torch.uint8).numpy())
    zip_of({"archive/data.pkl": pickled, "archive/data/0": raw, "archive/version": b"3\n"}, folder / "untyped.bin")
    expected["untyped.bin"] = {"h": describe(halves[1:7].view(2, 3))}
    for name, tensors in expected.items():
        # Files of our own making; protocol 4 needs the full unpickler.
        loaded = torch.load(folder / name, weights_only=name != "protocol4.bin")
        loaded = loaded.get("state_dict", loaded.get("model", loaded))
        for key, description in tensors.items():
            assert describe(loaded[key]) == description, (name, key)
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


class Call:
    def __init__(self, function, *arguments):
        self.result = (function, arguments)

    def __reduce__(self):
        return self.result


def make_hostile():
    import builtins
    import os

    folder = fresh("hostile")
    expected = {}

    def add(name, words, entries, code="bad_format", compression=zipfile.ZIP_STORED):
        zip_of(entries, folder / f"{name}.bin", compression)
        expected[f"{name}.bin"] = {"code": code, "words": words}

    def archive(data, storages=None):
        entries = {"a/data.pkl": data, "a/version": b"3\n"}
        for key, raw in (storages or {"0": bytes(16)}).items():
            entries[f"a/data/{key}"] = raw
        return entries

    def tensor(offset=0, size=(4,), stride=(1,), numel=4, storage="FloatStorage", key="0", tag="storage"):
        """A hand-made pickle of {"t": tensor}."""

        def integer(n):
            raw = n.to_bytes(8, "little", signed=True)
            return b"\x8a\x08" + raw

        def text(s):
            return b"X" + struct.pack("<I", len(s)) + s.encode()

        def numbers(ns):
            return b"(" + b"".join(map(integer, ns)) + b"t"

        return (
            b"\x80\x02}" + text("t") + b"ctorch._utils\n_rebuild_tensor_v2\n(("
            + text(tag) + b"ctorch\n" + storage.encode() + b"\n" + text(key) + text("cpu") + integer(numel)
            + b"tQ" + integer(offset) + numbers(size) + numbers(stride)
            + b"\x89ccollections\nOrderedDict\n)Rt" + b"R" + b"s."
        )

    big = 1 << 62
    add("os_system", ["posix.system"], archive(pickle.dumps({"a": Call(os.system, "true")}, 2)))
    add("builtins_eval", ["__builtin__.eval"], archive(pickle.dumps({"a": Call(builtins.eval, "1")}, 2)))
    add("stack_global", ["builtins.exec"], archive(pickle.dumps({"a": Call(builtins.exec, "1")}, 4)))
    add("getattr", ["getattr"], archive(pickle.dumps({"a": Call(getattr, 1, "real")}, 2)))
    add("storage_called", ["a call of 'torch.FloatStorage'"], archive(b"\x80\x02ctorch\nFloatStorage\n)R."))
    add("opcode_inst", ["opcode 0x69"], archive(b"\x80\x02(icollections\nOrderedDict\n."))
    add("opcode_newobj", ["opcode 0x81"], archive(b"\x80\x02ccollections\nOrderedDict\n)\x81."))
    add("opcode_ext", ["opcode 0x82"], archive(b"\x80\x02\x82\x01."))
    add("opcode_persid", ["opcode 0x50"], archive(b"\x80\x02Pstorage\n."))
    add("opcode_binbytes", ["opcode 0x42"], archive(b"\x80\x02B\x01\x00\x00\x00x."))
    add("opcode_dup", ["opcode 0x32"], archive(b"\x80\x02}2."))
    add("build_on_dict", ["OrderedDict"], archive(b"\x80\x02}}b."))
    add("empty_stack", ["empty stack"], archive(b"\x80\x02."))
    add("no_mark", ["mark"], archive(b"\x80\x02u."))
    add("memo", ["memo entry 9"], archive(b"\x80\x02h\x09."))
    add("long_integer", ["integer of 9 bytes"], archive(b"\x80\x02\x8a\x09" + bytes(9) + b"."))
    add("long_name", ["longer than 256"], archive(b"\x80\x02c" + b"m" * 300 + b"\nn\n."))
    add("no_stop", ["pickle opcode"], archive(b"\x80\x02}"))
    add("string_past_end", ["pickle string"], archive(b"\x80\x02X\xff\xff\xff\x7fabc."))
    add("self_list", ["no dictionary"], archive(b"\x80\x02]q\x00h\x00a."))
    add("self_dict", ["no tensor", "self_dict"], archive(b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s."), code="none")
    add("leftovers", ["left on the stack"], archive(b"\x80\x02}}."))
    add("not_a_dict", ["no dictionary"], archive(b"\x80\x02K\x01."))
    add("offset", ["outside its storage"], archive(tensor(offset=1)))
    add("offset_huge", ["outside its storage"], archive(tensor(offset=big)))
    add("negative_offset", ["malformed tensor"], archive(tensor(offset=-1)))
    add("negative_size", ["sizes"], archive(tensor(size=(-4,))))
    add("negative_stride", ["sizes"], archive(tensor(stride=(-1,))))
    add("stride_huge", ["outside its storage"], archive(tensor(size=(2,), stride=(big,))))
    add("size_huge", ["outside its storage"], archive(tensor(size=(big,), stride=(0,))))
    add("repeated", ["outside its storage"], archive(tensor(size=(1000,), stride=(0,))))
    add("size_overflow", ["overflows"], archive(tensor(size=(big, big), stride=(1, 1))))
    add("numel_overflow", ["overflows"], archive(tensor(numel=big)))
    add("rank", ["17 numbers"], archive(tensor(size=(1,) * 17, stride=(1,) * 17)))
    add("two_ranks", ["two lengths"], archive(tensor(size=(2, 2), stride=(1,))))
    add("bad_storage", ["storage of type 'OrderedDict'"],
        archive(tensor().replace(b"ctorch\nFloatStorage\n", b"ccollections\nOrderedDict\n")))
    add("unknown_storage", ["torch.QInt8Storage"], archive(tensor(storage="QInt8Storage")))
    add("bad_tag", ["malformed storage"], archive(tensor(tag="module")))
    add("missing_entry", ["'a/data/7'", "absent"], archive(tensor(key="7")))
    add("other_folder", ["absent"], archive(tensor(key="../data.pkl")))
    add("short_storage", ["8 bytes"], archive(tensor(), {"0": bytes(8)}))
    add("long_storage", ["32 bytes"], archive(tensor(), {"0": bytes(32)}))
    add("big_endian", ["byte order 'big'"], {**archive(tensor()), "a/byteorder": b"big"}, code="unsupported")
    add("torch_script", ["TorchScript"], {**archive(tensor()), "a/constants.pkl": b""}, code="unsupported")
    add("two_roots", ["both"], {**archive(tensor()), "b/data.pkl": b"."})
    add("no_pickle", ["without data.pkl"], {"a/version": b"3\n"})
    add("compressed", ["compressed"], archive(tensor()), code="unsupported", compression=zipfile.ZIP_DEFLATED)

    buffer = io.BytesIO()
    torch.save({"a": torch.arange(3)}, buffer, _use_new_zipfile_serialization=False)
    (folder / "legacy.bin").write_bytes(buffer.getvalue())
    expected["legacy.bin"] = {"code": "unsupported", "words": ["legacy"]}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def permute(weights, num_heads):
    """llama.cpp's order of the rows of q and k."""
    return (
        weights.reshape(num_heads, 2, weights.shape[0] // num_heads // 2, *weights.shape[1:])
        .swapaxes(1, 2)
        .reshape(weights.shape)
    )


def make_gguf():
    folder = fresh("gguf")
    rng = np.random.default_rng(2)
    kinds = gguf.GGMLQuantizationType
    expected, described = {}, {}

    writer = gguf.GGUFWriter(folder / "types.gguf", "llama")
    writer.add_uint8("t.uint8", 200)
    writer.add_int8("t.int8", -100)
    writer.add_uint16("t.uint16", 60000)
    writer.add_int16("t.int16", -30000)
    writer.add_uint32("t.uint32", 4000000000)
    writer.add_int32("t.int32", -2000000000)
    writer.add_uint64("t.uint64", 1 << 62)
    writer.add_int64("t.int64", -(1 << 62))
    writer.add_float32("t.float32", 0.1)
    writer.add_float64("t.float64", 0.1)
    writer.add_bool("t.bool", True)
    writer.add_string("t.string", "caf\u00e9 \u4f60")
    writer.add_array("t.strings", ["a", "", "\u4f60"])
    writer.add_array("t.ints", [1, -2, 3])
    writer.add_array("t.floats", [0.5, -1.25])
    writer.add_array("t.bools", [True, False])
    halves = np.array([0x0001, 0x8001, 0x03FF, 0x0400, 0x3555, 0xB555, 0x7BFF, 0x2E66], dtype=np.uint16)
    for kind in [kinds.Q8_0, kinds.Q4_0, kinds.Q4_1, kinds.Q5_0, kinds.Q5_1, kinds.Q4_K, kinds.Q5_K, kinds.Q6_K]:
        block, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = rng.integers(0, 256, (16, size), dtype=np.uint8)
        # Scales that are finite, among them the smallest and largest.
        for at in {kinds.Q6_K: [208], kinds.Q4_1: [0, 2], kinds.Q5_1: [0, 2], kinds.Q4_K: [0, 2],
                   kinds.Q5_K: [0, 2]}.get(kind, [0]):
            chosen = halves[rng.integers(0, len(halves), 16)]
            blocks[:, at : at + 2] = chosen.view(np.uint8).reshape(16, 2)
        raw = blocks.reshape(4, 4 * size)
        name = kind.name
        writer.add_tensor(name, raw, raw_dtype=kind)
        expected[name] = gguf.dequantize(raw, kind).astype(np.float32)
        assert expected[name].shape == (4, 4 * block) and np.isfinite(expected[name]).all()
    plain = rng.standard_normal((3, 8)).astype(np.float32)
    writer.add_tensor("F32", plain)
    writer.add_tensor("F16", plain.astype(np.float16))
    bits = (plain.view(np.uint32) >> 16).astype(np.uint16)
    writer.add_tensor("BF16", bits.view(np.uint8), raw_dtype=kinds.BF16)
    writer.add_tensor("I32", np.arange(6, dtype=np.int32).reshape(2, 3))
    expected["F32"] = plain
    expected["F16"] = plain.astype(np.float16)
    expected["BF16_bits"] = bits.view(np.int16)
    expected["I32"] = np.arange(6, dtype=np.int32).reshape(2, 3)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    def language_model(name, architecture, heads, kv_heads, bias=False, rope_freqs=None, head=True, align=None,
                       block_kinds=(), **extra):
        width, head_dim, forward, vocab = 32 if block_kinds else 12, extra.get("key_length", 4), 16, 10
        writer = gguf.GGUFWriter(folder / f"{name}.gguf", architecture)
        if align:
            writer.add_custom_alignment(align)
        writer.add_block_count(1)
        writer.add_context_length(64)
        writer.add_embedding_length(width)
        writer.add_feed_forward_length(forward)
        writer.add_head_count(heads)
        writer.add_head_count_kv(kv_heads)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_rope_freq_base(extra.get("theta", 10000.0))
        if "key_length" in extra:
            writer.add_key_length(head_dim)
            writer.add_value_length(head_dim)
        if "linear" in extra:
            writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(extra["linear"])
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("smollm")
        writer.add_token_list([f"t{i}" for i in range(vocab)])
        writer.add_token_types([3, 1, 1, 1, 1, 1, 1, 1, 4, 6])
        writer.add_token_merges(["t 1", "t 2"])
        writer.add_token_scores([float(-i) for i in range(vocab)])
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_add_bos_token(False)
        writer.add_chat_template("{{ messages }}")
        original = {}

        def add(gguf_name, original_name, shape, permuted_heads=0):
            values = rng.standard_normal(shape).astype(np.float32)
            original[original_name] = values
            if block_kinds and len(shape) == 2 and shape[1] % 32 == 0:
                kind = block_kinds[len(original) % len(block_kinds)]
                original[original_name] = gguf.dequantize(gguf.quantize(values, kind), kind)
                stored = permute(values, permuted_heads) if permuted_heads else values
                writer.add_tensor(gguf_name, gguf.quantize(np.ascontiguousarray(stored), kind), raw_dtype=kind)
                return
            stored = permute(values, permuted_heads) if permuted_heads and architecture == "llama" else values
            writer.add_tensor(gguf_name, np.ascontiguousarray(stored))

        layer = "model.layers.0."
        add("token_embd.weight", "model.embed_tokens.weight", (vocab, width))
        add("output_norm.weight", "model.norm.weight", (width,))
        if head:
            add("output.weight", "lm_head.weight", (vocab, width))
        add("blk.0.attn_norm.weight", layer + "input_layernorm.weight", (width,))
        add("blk.0.ffn_norm.weight", layer + "post_attention_layernorm.weight", (width,))
        for part, rows, permuted in [("q", heads, heads), ("k", kv_heads, kv_heads), ("v", kv_heads, 0)]:
            stem = f"{layer}self_attn.{part}_proj."
            add(f"blk.0.attn_{part}.weight", stem + "weight", (rows * head_dim, width), permuted)
            if bias:
                add(f"blk.0.attn_{part}.bias", stem + "bias", (rows * head_dim,), permuted)
        add("blk.0.attn_output.weight", layer + "self_attn.o_proj.weight", (width, heads * head_dim))
        add("blk.0.ffn_gate.weight", layer + "mlp.gate_proj.weight", (forward, width))
        add("blk.0.ffn_up.weight", layer + "mlp.up_proj.weight", (forward, width))
        add("blk.0.ffn_down.weight", layer + "mlp.down_proj.weight", (width, forward))
        if rope_freqs is not None:
            writer.add_tensor("rope_freqs.weight", np.array(rope_freqs, dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        for key, values in original.items():
            expected[f"{name}/{key}"] = values

    def llama3_divisors(theta, head_dim, factor, low=1.0, high=4.0, old=8192):
        divisors = []
        for i in range(head_dim // 2):
            wavelength = 2 * math.pi * theta ** (2 * i / head_dim)
            if wavelength < old / high:
                divisors.append(1.0)
            elif wavelength > old / low:
                divisors.append(factor)
            else:
                smooth = (old / wavelength - low) / (high - low)
                divisors.append(1 / ((1 - smooth) / factor + smooth))
        return divisors

    language_model("llama", "llama", 4, 2, key_length=8, head=True, align=64)
    language_model("llama_bias", "llama", 3, 3, bias=True, head=False, linear=2.0)
    language_model("llama3", "llama", 3, 1, key_length=16, theta=5e5,
                   rope_freqs=llama3_divisors(5e5, 16, 8.0), head=False)
    language_model("qwen2", "qwen2", 3, 1, bias=True, head=False)
    language_model("unknown_rope", "llama", 3, 1, rope_freqs=[1.0, 3.0], head=False)
    language_model("llama_blocks", "llama", 4, 2, key_length=8,
                   block_kinds=[kinds.Q8_0, kinds.Q4_1, kinds.Q4_0, kinds.Q5_1, kinds.Q5_0])
    save_file({key: np.ascontiguousarray(value) for key, value in expected.items()}, folder / "expected.safetensors")


def decoder_of(config):
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    family = {"llama": "llama", "mistral": "mistral", "qwen2": "qwen2"}[config.model_type]
    window = getattr(config, "sliding_window", None) if family != "llama" else None
    if family == "qwen2" and not config.use_sliding_window:
        window = None
    bias = family == "qwen2" or bool(getattr(config, "attention_bias", False))
    return {
        "family": family,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": head_dim,
        "max_position_embeddings": config.max_position_embeddings,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_theta,
        "rope_scaling": getattr(config, "rope_scaling", None),
        "sliding_window": window or 0,
        "has_qkv_bias": bias,
        "is_head_tied": config.tie_word_embeddings,
        "bos": config.bos_token_id,
        "eos": config.eos_token_id,
    }


PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]


def original_configs():
    common = {"mm_vision_tower": "openai/clip-vit-large-patch14-336", "mm_projector_type": "mlp2x_gelu",
              "mm_hidden_size": 1024, "mm_vision_select_layer": -2, "mm_vision_select_feature": "patch",
              "mm_use_im_start_end": False, "mm_use_im_patch_token": False, "hidden_act": "silu",
              "rms_norm_eps": 1e-5, "vocab_size": 32000, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    v15 = {**common, "architectures": ["LlavaLlamaForCausalLM"], "image_aspect_ratio": "pad", "rope_scaling": None,
           "max_position_embeddings": 4096, "torch_dtype": "float16", "unfreeze_mm_vision_tower": False}
    v16 = {**common, "image_aspect_ratio": "anyres", "mm_patch_merge_type": "spatial_unpad",
           "image_grid_pinpoints": PINPOINTS, "unfreeze_mm_vision_tower": True, "tokenizer_padding_side": "right",
           "tokenizer_model_max_length": 4096, "torch_dtype": "bfloat16", "max_position_embeddings": 4096}
    small = {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
             "num_key_value_heads": 32}
    large = {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40,
             "num_key_value_heads": 40}
    yield "v1.5-7b", LlamaConfig, {**v15, **small, "model_type": "llava"}
    yield "v1.5-13b", LlamaConfig, {**v15, **large, "model_type": "llava_llama"}
    without_kv = {key: value for key, value in small.items() if key != "num_key_value_heads"}
    yield "v1.5-7b, no key/value heads", LlamaConfig, {**v15, **without_kv, "model_type": "llava"}
    yield "v1.6-vicuna-7b", LlamaConfig, {**v16, **small, "model_type": "llava", "rope_theta": 10000.0,
                                          "architectures": ["LlavaLlamaForCausalLM"]}
    yield "v1.6-vicuna-13b", LlamaConfig, {**v16, **large, "model_type": "llava",
                                           "architectures": ["LlavaLlamaForCausalLM"]}
    yield "v1.6-mistral-7b", MistralConfig, {
        **v16, **small, "intermediate_size": 14336, "num_key_value_heads": 8, "model_type": "llava_mistral",
        "architectures": ["LlavaMistralForCausalLM"], "max_position_embeddings": 32768, "rope_theta": 1e6,
        "sliding_window": None}
    yield "v1.6-mistral-7b, defaults", MistralConfig, {
        **{key: value for key, value in v16.items() if key not in ("rms_norm_eps", "max_position_embeddings")},
        "hidden_size": 4096, "model_type": "llava_mistral", "architectures": ["LlavaMistralForCausalLM"]}
    yield "v1.6-34b", LlamaConfig, {
        **v16, "hidden_size": 7168, "intermediate_size": 20480, "num_hidden_layers": 60, "num_attention_heads": 56,
        "num_key_value_heads": 8, "vocab_size": 64000, "rope_theta": 5000000.0, "eos_token_id": 7,
        "architectures": ["LlavaLlamaForCausalLM"], "model_type": "llava"}
    yield "qwen2 projector", Qwen2Config, {
        **common, "architectures": ["Qwen2ForCausalLM"], "model_type": "llava_qwen", "hidden_size": 896,
        "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
        "vocab_size": 151936, "rope_theta": 1e6, "tie_word_embeddings": True, "rms_norm_eps": 1e-6,
        "max_position_embeddings": 32768, "use_sliding_window": False, "sliding_window": 32768,
        "max_window_layers": 24}


def hugging_face_configs():
    vision = {"model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096, "patch_size": 14,
              "image_size": 336, "num_hidden_layers": 24, "num_attention_heads": 16, "projection_dim": 768}
    llava = {"architectures": ["LlavaForConditionalGeneration"], "model_type": "llava"}
    next_ = {"architectures": ["LlavaNextForConditionalGeneration"], "model_type": "llava_next"}
    yield "1.5-7b-hf", LlavaConfig, {
        **llava, "image_token_index": 32000, "pad_token_id": 32001, "torch_dtype": "float16", "vision_config": vision,
        "text_config": {"model_type": "llama", "vocab_size": 32064, "max_position_embeddings": 4096,
                        "rms_norm_eps": 1e-5, "torch_dtype": "float16"}}
    yield "1.5-13b-hf", LlavaConfig, {
        **llava, "image_token_index": 32000, "pad_token_id": 32001, "vision_config": vision,
        "text_config": {"model_type": "llama", "vocab_size": 32064, "hidden_size": 5120, "intermediate_size": 13824,
                        "num_hidden_layers": 40, "num_attention_heads": 40, "num_key_value_heads": 40,
                        "max_position_embeddings": 4096, "rms_norm_eps": 1e-5}}
    yield "v1.6-vicuna-13b-hf", LlavaNextConfig, {
        **next_, "image_token_index": 32000, "dtype": "float16", "vision_config": vision,
        "image_grid_pinpoints": [[h, w] for w, h in PINPOINTS],
        "text_config": {"model_type": "llama", "vocab_size": 32064, "hidden_size": 5120, "intermediate_size": 13824,
                        "num_hidden_layers": 40, "num_attention_heads": 40, "num_key_value_heads": 40,
                        "max_position_embeddings": 4096, "rms_norm_eps": 1e-5}}
    yield "v1.6-mistral-7b-hf", LlavaNextConfig, {
        **next_, "image_token_index": 32000, "vision_config": vision,
        "text_config": {"model_type": "mistral", "vocab_size": 32064, "intermediate_size": 14336,
                        "max_position_embeddings": 32768, "rms_norm_eps": 1e-5, "rope_theta": 1e6,
                        "sliding_window": None, "num_key_value_heads": 8}}
    yield "v1.6-34b-hf", LlavaNextConfig, {
        **next_, "image_token_index": 64000, "vision_config": vision,
        "text_config": {"model_type": "llama", "vocab_size": 64064, "hidden_size": 7168, "intermediate_size": 20480,
                        "num_hidden_layers": 60, "num_attention_heads": 56, "num_key_value_heads": 8,
                        "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 5e6, "eos_token_id": 7}}
    yield "llava, nothing said", LlavaConfig, {**llava, "text_config": {}}
    yield "llava_next, nothing said", LlavaNextConfig, dict(next_)
    yield "mistral text, nothing said", LlavaConfig, {**llava, "text_config": {"model_type": "mistral"}}
    yield "qwen2 text, nothing said", LlavaConfig, {**llava, "text_config": {"model_type": "qwen2"}}
    yield "partial vision", LlavaConfig, {
        **llava, "text_config": {"model_type": "llama", "tie_word_embeddings": True},
        "vision_config": {"model_type": "clip_vision_model", "patch_size": 16}}
    yield "llama3 rope", LlavaConfig, {
        **llava, "vision_config": vision, "vision_feature_layer": [-2, -5, 6],
        "vision_feature_select_strategy": "full",
        "text_config": {"model_type": "llama", "rope_theta": 5e5, "num_key_value_heads": 8, "vocab_size": 128320,
                        "eos_token_id": [128001, 128009], "bos_token_id": 128000,
                        "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                         "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}}}
    yield "linear rope, old spelling", LlavaConfig, {
        **llava, "text_config": {"model_type": "llama", "rope_scaling": {"type": "linear", "factor": 2.0}}}
    yield "dynamic rope", LlavaConfig, {
        **llava, "text_config": {"model_type": "llama", "attention_bias": True,
                                 "rope_scaling": {"rope_type": "dynamic", "factor": 4.0}}}


def new_spelling(config):
    """The same file as transformers 5 writes it."""
    config = json.loads(json.dumps(config))
    text = config["text_config"]
    rope = {"rope_type": "default", "rope_theta": text.pop("rope_theta", 10000.0)}
    scaling = text.pop("rope_scaling", None) or {}
    rope.update(scaling)
    rope["rope_type"] = rope.pop("type", rope["rope_type"])
    text["rope_parameters"] = rope
    if "torch_dtype" in config:
        config["dtype"] = config.pop("torch_dtype")
    return config


def make_configs():
    cases = []
    for name, kind, config in original_configs():
        language = {key: value for key, value in config.items() if key not in ("model_type", "architectures")}
        cases.append({"name": name, "layout": "original", "config": config,
                      "decoder": decoder_of(kind.from_dict(language))})
    for name, kind, config in hugging_face_configs():
        resolved = kind.from_dict(config)
        vision = resolved.vision_config
        case = {
            "name": name, "layout": "hugging_face", "config": config, "decoder": decoder_of(resolved.text_config),
            "vision": {key: getattr(vision, key) for key in
                       ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "image_size",
                        "patch_size", "hidden_act", "layer_norm_eps"]},
            "image_token": resolved.image_token_index,
            "strategy": resolved.vision_feature_select_strategy,
            "feature_layer": resolved.vision_feature_layer,
            "pinpoints": getattr(resolved, "image_grid_pinpoints", None),
        }
        cases.append(case)
        if "text_config" in config:
            cases.append({**case, "name": name + ", spelling of transformers 5", "config": new_spelling(config)})
    (HERE / "configs.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    make_torch()
    make_hostile()
    make_gguf()
    make_configs()
