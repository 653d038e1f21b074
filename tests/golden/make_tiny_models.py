#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the tiny checkpoints of tests/golden/models and the pictures of tests/golden/images.

    make_tiny_models.py              every checkpoint but the next two (transformers 4.57)
    make_tiny_models.py --resave5    the folders that transformers 5 writes (transformers 5.23)

Everything is random with a fixed seed per part, so that parts which several checkpoints have in
common are the same bytes and are stored once by git. What each checkpoint is for stands beside its
code here and in README.md; make_bundles.py computes the reference bundles.
"""
import argparse
import copy
import io
import json
import math
import pathlib
import shutil

import numpy as np
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
MODELS = HERE / "models"
IMAGES = HERE / "images"

# The pieces of the tokenizers: template sentences, plain English, and a few other scripts.
CORPUS = """A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the human's questions.
A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the user's questions.
USER: What is shown in this image? ASSISTANT: The image shows a red circle on the table.
USER: Describe the picture in detail. ASSISTANT: There are two blue squares and a green triangle.
### Human: What colour is it? ### Assistant: It is yellow.
[INST] Which shape is this? [/INST] This is a circle.
You are a helpful assistant. Compare the two pictures. How many shapes are there? Where is it? Who is this?
The quick brown fox jumps over the lazy dog. 0123456789 (1 + 2) * 3 = 9; a_b "c" 'd' <e> {f} #g @h &i %j $k !l ?m ~n
na\u00efve caf\u00e9 \u00fcber stra\u00dfe \u043f\u0440\u0438\u0432\u0435\u0442 \u4f60\u597d
""".split("\n")

# --- random parts ----------------------------------------------------------------------------------


class Normal:
    """Normal numbers of one named part; the name is the seed."""

    def __init__(self, name):
        self.generator = np.random.Generator(np.random.PCG64(list(name.encode())))

    def tensor(self, *shape, std=1.0, mean=0.0):
        values = self.generator.standard_normal(shape, dtype=np.float32)
        return torch.from_numpy(values * np.float32(std) + np.float32(mean))

    def matrix(self, rows, columns, gain=1.0):
        return self.tensor(rows, columns, std=gain / math.sqrt(columns))


def decoder(name, shape):
    """Language-model tensors under the original's names."""
    normal = Normal(name)
    width, inner = shape["hidden_size"], shape["intermediate_size"]
    heads = shape["num_attention_heads"]
    head_dim = shape.get("head_dim") or width // heads
    kv_rows = shape["num_key_value_heads"] * head_dim
    out = {"model.embed_tokens.weight": normal.tensor(shape["vocab_size"], width, std=0.7)}
    for layer in range(shape["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        out[at + "input_layernorm.weight"] = normal.tensor(width, std=0.2, mean=1.0)
        for part, rows in [("q", heads * head_dim), ("k", kv_rows), ("v", kv_rows)]:
            out[at + f"self_attn.{part}_proj.weight"] = normal.matrix(rows, width, 1.4)
            if shape.get("qkv_bias"):
                out[at + f"self_attn.{part}_proj.bias"] = normal.tensor(rows, std=0.5)
        out[at + "self_attn.o_proj.weight"] = normal.matrix(width, heads * head_dim)
        if shape.get("o_bias"):
            out[at + "self_attn.o_proj.bias"] = normal.tensor(width, std=0.3)
        out[at + "post_attention_layernorm.weight"] = normal.tensor(width, std=0.2, mean=1.0)
        out[at + "mlp.gate_proj.weight"] = normal.matrix(inner, width)
        out[at + "mlp.up_proj.weight"] = normal.matrix(inner, width)
        out[at + "mlp.down_proj.weight"] = normal.matrix(width, inner)
    out["model.norm.weight"] = normal.tensor(width, std=0.2, mean=1.0)
    out["lm_head.weight"] = normal.matrix(shape["vocab_size"], width, 3.0)
    return out


def tower(name, shape):
    """CLIP vision tensors under the tower repository's names."""
    normal = Normal(name)
    width, inner, patch = shape["hidden_size"], shape["intermediate_size"], shape["patch_size"]
    positions = (shape["image_size"] // patch) ** 2 + 1
    out = {
        "embeddings.class_embedding": normal.tensor(width),
        "embeddings.patch_embedding.weight": normal.tensor(width, 3, patch, patch, std=1.5 / math.sqrt(3 * patch * patch)),
        "embeddings.position_embedding.weight": normal.tensor(positions, width, std=0.5),
    }
    for norm in ("pre_layrnorm", "post_layernorm"):
        out[norm + ".weight"] = normal.tensor(width, std=0.2, mean=1.0)
        out[norm + ".bias"] = normal.tensor(width, std=0.1)
    for layer in range(shape["num_hidden_layers"]):
        at = f"encoder.layers.{layer}."
        for norm in ("layer_norm1", "layer_norm2"):
            out[at + norm + ".weight"] = normal.tensor(width, std=0.2, mean=1.0)
            out[at + norm + ".bias"] = normal.tensor(width, std=0.1)
        for part in ("q", "k", "v", "out"):
            out[at + f"self_attn.{part}_proj.weight"] = normal.matrix(width, width, 1.2)
            out[at + f"self_attn.{part}_proj.bias"] = normal.tensor(width, std=0.2)
        out[at + "mlp.fc1.weight"] = normal.matrix(inner, width)
        out[at + "mlp.fc1.bias"] = normal.tensor(inner, std=0.2)
        out[at + "mlp.fc2.weight"] = normal.matrix(width, inner)
        out[at + "mlp.fc2.bias"] = normal.tensor(width, std=0.2)
    return {"vision_model." + key: value for key, value in out.items()}


def projector(name, kind, width, out_width):
    """Projector tensors under the original's names."""
    normal = Normal(name)
    if kind == "identity":
        return {}
    if kind == "linear":
        return {
            "model.mm_projector.weight": normal.matrix(out_width, width),
            "model.mm_projector.bias": normal.tensor(out_width, std=0.2),
        }
    out = {}
    for layer in range(int(kind.removeprefix("mlp").removesuffix("x_gelu"))):
        columns = width if layer == 0 else out_width
        out[f"model.mm_projector.{2 * layer}.weight"] = normal.matrix(out_width, columns, 1.2)
        out[f"model.mm_projector.{2 * layer}.bias"] = normal.tensor(out_width, std=0.2)
    return out


def newline(name, width):
    return {"model.image_newline": Normal(name).tensor(width, std=0.5)}


def cast(tensors, dtype):
    return {key: value.to(dtype).contiguous() for key, value in tensors.items()}


# --- pictures -------------------------------------------------------------------------------------


def draw_picture(name, size, seed, mode="RGB"):
    """A gradient with a few shapes: every row and column differs."""
    width, height = size
    generator = np.random.Generator(np.random.PCG64(seed))
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    weights = generator.uniform(-1, 1, (3, 3))
    planes = [128 + 110 * np.sin(3 * (a * x + b * y + c)) for a, b, c in weights]
    picture = Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8), "RGB")
    pen = ImageDraw.Draw(picture)
    for shape in (pen.ellipse, pen.rectangle, pen.ellipse):
        cx, cy = generator.uniform(0, width), generator.uniform(0, height)
        radius = min(width, height) * generator.uniform(0.15, 0.35)
        colour = tuple(int(v) for v in generator.integers(0, 256, 3))
        shape([cx - radius, cy - radius, cx + radius, cy + radius], fill=colour)
    if mode == "RGBA":
        alpha = Image.fromarray((255 * (x + y) / 2).astype(np.uint8), "L")
        picture.putalpha(alpha)
    picture.save(IMAGES / name, **({"quality": 92} if name.endswith("jpg") else {}))


def write_pictures():
    IMAGES.mkdir(exist_ok=True)
    draw_picture("landscape_96x64.jpg", (96, 64), 1)
    draw_picture("portrait_45x80.png", (45, 80), 2)
    draw_picture("square_28x28.png", (28, 28), 3)
    draw_picture("thin_2x90.png", (2, 90), 4)
    draw_picture("wide_150x13.png", (150, 13), 5)
    draw_picture("alpha_60x50.png", (60, 50), 6, "RGBA")


# --- tokenizers ------------------------------------------------------------------------------------


def sentencepiece_model(size=448):
    import sentencepiece

    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 4),
        model_writer=out,
        model_type="bpe",
        vocab_size=size,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        character_coverage=0.985,
        split_digits=True,
        num_threads=1,
        minloglevel=2,
    )
    return out.getvalue()


QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_PATTERN = QWEN2_PATTERN.replace(r"\p{N}|", r"\p{N}{1,3}|", 1)


def byte_level_tokenizer(pattern, size, specials, normalise, begin=None):
    """A tokenizer.json of the Qwen2 or Llama-3 kind."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(ignore_merges=begin is not None))
    if normalise:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS * 4, trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in specials])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if begin is not None:
        tokenizer.post_processor = processors.Sequence(
            [
                processors.ByteLevel(trim_offsets=False),
                processors.TemplateProcessing(
                    single=f"{begin} $A", pair=f"{begin} $A {begin} $B", special_tokens=[(begin, tokenizer.token_to_id(begin))]
                ),
            ]
        )
    return tokenizer


def slow_tokenizer_config(legacy):
    token = lambda text: {  # noqa: E731
        "__type": "AddedToken",
        "content": text,
        "lstrip": False,
        "normalized": False,
        "rstrip": False,
        "single_word": False,
    }
    return {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": token("<s>"),
        "clean_up_tokenization_spaces": False,
        "eos_token": token("</s>"),
        "legacy": legacy,
        "model_max_length": 2048,
        "pad_token": None,
        "padding_side": "right",
        "sp_model_kwargs": {},
        "tokenizer_class": "LlamaTokenizer",
        "unk_token": token("<unk>"),
    }


def write_slow_tokenizer(folder, legacy=False, added=None):
    (folder / "tokenizer.model").write_bytes(sentencepiece_model())
    write_json(folder / "tokenizer_config.json", slow_tokenizer_config(legacy))
    write_json(
        folder / "special_tokens_map.json",
        {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>", "unk_token": "<unk>"},
    )
    if added:
        write_json(folder / "added_tokens.json", added)


# --- folders --------------------------------------------------------------------------------------


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def edit_json(path, edit):
    value = json.loads(path.read_text(encoding="utf-8"))
    edit(value)
    write_json(path, value)


def new_folder(name):
    folder = MODELS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def copy_folder(source, name):
    folder = MODELS / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(MODELS / source, folder)
    return folder


def write_safetensors(path, tensors):
    save_file(tensors, str(path), metadata={"format": "pt"})


def write_shards(folder, shards):
    """`model-0000i-of-0000n.safetensors` with its index."""
    weight_map, total = {}, 0
    for number, tensors in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write_safetensors(folder / file, tensors)
        weight_map.update(dict.fromkeys(tensors, file))
        total += sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    write_json(folder / "model.safetensors.index.json", index)


# --- the original layout ----------------------------------------------------------------------------

LLAMA = {
    "vocab_size": 448,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "num_key_value_heads": 3,
}
CLIP_28 = {
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 7,
}
CLIP_FULL_42 = {**CLIP_28, "hidden_size": 48, "num_attention_heads": 4, "image_size": 42, "patch_size": 14}
PINPOINTS = [[28, 56], [56, 28], [56, 56], [84, 28], [28, 84]]


def original_config(**changes):
    config = {
        "architectures": ["LlavaLlamaForCausalLM"],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "hidden_act": "silu",
        "image_aspect_ratio": "pad",
        "initializer_range": 0.02,
        "max_position_embeddings": 1024,
        "mm_hidden_size": 24,
        "mm_projector_type": "mlp2x_gelu",
        "mm_use_im_patch_token": False,
        "mm_use_im_start_end": False,
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": -2,
        "mm_vision_tower": "towers/clip-28",
        "model_type": "llava_llama",
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "tune_mm_mlp_adapter": False,
        "unfreeze_mm_vision_tower": False,
        "use_cache": True,
        "use_mm_proj": True,
        **LLAMA,
        **changes,
    }
    return {key: value for key, value in config.items() if value != "absent"}


def write_original(name, multimodal, **changes):
    """A checkpoint whose first shard, the language model, is the same in all of them."""
    folder = new_folder(name)
    write_slow_tokenizer(folder)
    write_json(folder / "config.json", original_config(**changes))
    write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0})
    if multimodal:
        write_shards(folder, [cast(decoder("llama", LLAMA), torch.float16), cast(multimodal, torch.float16)])
    else:
        write_safetensors(folder / "model.safetensors", cast(decoder("llama", LLAMA), torch.float16))
    return folder


def write_towers():
    folder = new_folder("towers/clip-28")
    write_safetensors(folder / "model.safetensors", cast(tower("clip-28", CLIP_28), torch.float16))
    write_json(
        folder / "config.json",
        {"architectures": ["CLIPVisionModel"], "hidden_act": "quick_gelu", "model_type": "clip_vision_model", **CLIP_28},
    )
    write_json(folder / "preprocessor_config.json", clip_preprocessor(28))

    # A whole CLIP, as openai publishes it: torch pickle, text tower and nested configuration.
    folder = new_folder("towers/clip-full-42")
    normal = Normal("clip-full-42-text")
    tensors = tower("clip-full-42", CLIP_FULL_42)
    tensors["vision_model.embeddings.position_ids"] = torch.arange(10)[None]
    tensors["logit_scale"] = normal.tensor(1)[0]
    tensors["text_model.embeddings.token_embedding.weight"] = normal.tensor(20, 16)
    tensors["text_model.embeddings.position_embedding.weight"] = normal.tensor(8, 16)
    tensors["text_model.embeddings.position_ids"] = torch.arange(8)[None]
    tensors["text_model.final_layer_norm.weight"] = normal.tensor(16)
    tensors["text_model.final_layer_norm.bias"] = normal.tensor(16)
    tensors["text_projection.weight"] = normal.tensor(12, 16)
    tensors["visual_projection.weight"] = normal.tensor(12, 48)
    torch.save(
        {key: value.half() if value.is_floating_point() else value for key, value in tensors.items()},
        folder / "pytorch_model.bin",
    )
    text = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 0, "vocab_size": 20}
    write_json(
        folder / "config.json",
        {
            "architectures": ["CLIPModel"],
            "model_type": "clip",
            "projection_dim": 12,
            "text_config": {**text, "max_position_embeddings": 8, "model_type": "clip_text_model"},
            "vision_config": {**CLIP_FULL_42, "model_type": "clip_vision_model", "projection_dim": 12},
        },
    )
    write_json(folder / "preprocessor_config.json", clip_preprocessor(42))


def clip_preprocessor(size):
    return {
        "crop_size": size,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "size": size,
    }


def write_original_models():
    mlp2x = projector("mlp2x", "mlp2x_gelu", 24, 48)
    with_newline = {**mlp2x, **newline("newline", 48)}

    # LLaVA-1.5 and its variants.
    write_original("llava-v1.5-pad", mlp2x)
    write_original("llava-v1.5-square-cls", mlp2x, image_aspect_ratio="square", mm_vision_select_feature="cls_patch")
    write_original("llava-v1.5-crop-layer1", mlp2x, image_aspect_ratio="absent", mm_vision_select_layer=1)
    write_original("llava-v1.5-mlp1x", projector("mlp1x", "mlp1x_gelu", 24, 48), mm_projector_type="mlp1x_gelu", mm_vision_select_layer=-1)
    write_original("llava-v1.5-mlp3x", projector("mlp3x", "mlp3x_gelu", 24, 48), mm_projector_type="mlp3x_gelu")
    write_original(
        "llava-v1.5-identity", {}, mm_projector_type="identity", mm_hidden_size=48, mm_vision_tower="towers/clip-full-42"
    )
    write_original("llava-v1.5-rope-linear", mlp2x, rope_scaling={"type": "linear", "factor": 4.0})
    write_original("llava-v1.5-rope-dynamic", mlp2x, rope_scaling={"type": "dynamic", "factor": 2.0}, max_position_embeddings=24)

    # Anyres with every merge; the grid as a list and as the string that older files hold.
    anyres = {"image_aspect_ratio": "anyres", "image_grid_pinpoints": PINPOINTS, "model_type": "llava"}
    as_text = {**anyres, "image_grid_pinpoints": str([tuple(pair) for pair in PINPOINTS])}
    write_original("llava-v1.6-flat", mlp2x, **anyres, mm_patch_merge_type="flat")
    write_original("llava-v1.6-spatial", mlp2x, **as_text, mm_patch_merge_type="spatial")
    write_original("llava-v1.6-unpad", with_newline, **anyres, mm_patch_merge_type="spatial_unpad")
    write_original(
        "llava-v1.6-truncated", with_newline, **anyres, mm_patch_merge_type="spatial_unpad", tokenizer_model_max_length=40
    )
    write_mistral()
    write_legacy()
    write_bases()
    write_projector_only()
    write_lora()


def write_mistral():
    """LlavaMistral: grouped heads, bfloat16, the tower inside, a tokenizer to be converted to its fast form."""
    shape = {**LLAMA, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12}
    tensors = {
        **decoder("mistral", shape),
        **projector("mistral-mlp2x", "mlp2x_gelu", 24, 48),
        **newline("mistral-newline", 48),
        **{"model.vision_tower.vision_tower." + key: value for key, value in tower("mistral-tower", CLIP_28).items()},
    }
    del shape["head_dim"]
    folder = new_folder("llava-v1.6-mistral")
    write_slow_tokenizer(folder, legacy=True)
    write_json(
        folder / "config.json",
        original_config(
            architectures=["LlavaMistralForCausalLM"],
            model_type="llava_mistral",
            torch_dtype="bfloat16",
            image_aspect_ratio="anyres",
            image_grid_pinpoints=PINPOINTS,
            mm_patch_merge_type="spatial_unpad",
            unfreeze_mm_vision_tower=True,
            rope_theta=1000000.0,
            sliding_window=None,
            tokenizer_model_max_length=2048,
            tokenizer_padding_side="right",
            **shape,
        ),
    )
    write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2})
    write_safetensors(folder / "model.safetensors", cast(tensors, torch.bfloat16))


ADDED = {"<im_patch>": 448, "<im_start>": 449, "<im_end>": 450}


def write_legacy():
    """LLaVA of the first year: linear projector, start and end tokens with rows of their own, torch pickle."""
    shape = {**LLAMA, "vocab_size": 451}
    folder = new_folder("llava-7b-legacy")
    write_slow_tokenizer(folder, legacy=True, added=ADDED)
    config = original_config(
        image_aspect_ratio="absent",
        mm_projector_type="absent",
        mm_hidden_size=48,
        mm_vision_tower="towers/clip-full-42",
        mm_use_im_patch_token="absent",
        mm_use_im_start_end=True,
        mm_vision_select_feature="absent",
        mm_patch_merge_type="absent",
        model_type="llava",
        vocab_size=451,
        torch_dtype="float16",
    )
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0})
    tensors = {**decoder("legacy", shape), **projector("legacy", "linear", 48, 48)}
    for layer in range(2):
        tensors[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = 1.0 / 10000 ** (torch.arange(0, 16, 2) / 16)
    torch.save({key: value.half() for key, value in tensors.items()}, folder / "pytorch_model.bin")


def write_bases():
    """Language models for the folders that need one: plain, with spare rows, and GGUF."""
    folder = new_folder("base-vicuna")
    write_slow_tokenizer(folder)
    text_only = {key: value for key, value in original_config().items() if not key.startswith(("mm_", "image_", "tune", "unf"))}
    write_json(folder / "config.json", {**text_only, "architectures": ["LlamaForCausalLM"], "model_type": "llama"})
    write_safetensors(folder / "model.safetensors", cast(decoder("llama", LLAMA), torch.float16))

    folder = new_folder("base-spare-rows")
    write_slow_tokenizer(folder, legacy=True)
    wide = {**text_only, "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 456}
    write_json(folder / "config.json", wide)
    tensors = cast(decoder("spare-rows", {**LLAMA, "vocab_size": 456}), torch.float16)
    torch.save(tensors, folder / "pytorch_model.bin")
    write_gguf_bases()


def write_projector_only():
    folder = new_folder("llava-projector-mlp2x")
    write_json(folder / "config.json", original_config(architectures=["LlamaForCausalLM"], tune_mm_mlp_adapter=True))
    torch.save(cast(projector("projector-only", "mlp2x_gelu", 24, 48), torch.bfloat16), folder / "mm_projector.bin")

    # With start and end tokens the pretraining stage saves the whole embedding table too.
    folder = new_folder("llava-projector-startend")
    config = original_config(
        mm_projector_type="linear",
        mm_hidden_size=48,
        mm_vision_tower="towers/clip-full-42",
        mm_use_im_start_end=True,
        mm_use_im_patch_token="absent",
        vocab_size=456,
    )
    write_json(folder / "config.json", config)
    tensors = projector("startend", "linear", 48, 48)
    table = decoder("spare-rows", {**LLAMA, "vocab_size": 456})["model.embed_tokens.weight"]
    table[448:451] = Normal("startend-rows").tensor(3, 48, std=0.7)
    tensors["model.embed_tokens.weight"] = table
    torch.save(cast(tensors, torch.float16), folder / "mm_projector.bin")

    folder = new_folder("llava-projector-gguf-k")
    config = original_config(mm_projector_type="mlp2x_gelu", torch_dtype="float16", **GGUF_K)
    write_json(folder / "config.json", {**config, "max_position_embeddings": 512})
    torch.save(cast(projector("gguf-k", "mlp2x_gelu", 24, 256), torch.float16), folder / "mm_projector.bin")


LINEAR = {
    "self_attn.q_proj": (48, 48),
    "self_attn.k_proj": (48, 48),
    "self_attn.v_proj": (48, 48),
    "self_attn.o_proj": (48, 48),
    "mlp.gate_proj": (64, 48),
    "mlp.up_proj": (64, 48),
    "mlp.down_proj": (48, 64),
}


def adapters(name, rank_of, linear=LINEAR, layers=2):
    """`rank_of(layer, module)` is the rank, or None where the module has no adapter."""
    normal, out = Normal(name), {}
    for layer in range(layers):
        for module, (rows, columns) in linear.items():
            rank = rank_of(layer, module)
            if rank is not None:
                at = f"base_model.model.model.layers.{layer}.{module}."
                out[at + "lora_A.weight"] = normal.tensor(rank, columns, std=1 / math.sqrt(columns))
                out[at + "lora_B.weight"] = normal.tensor(rows, rank, std=0.3)
    return out


def adapter_config(**changes):
    return {
        "base_model_name_or_path": "base-vicuna",
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": 8,
        "lora_dropout": 0.05,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": 4,
        "target_modules": sorted(module.split(".")[1] for module in LINEAR),
        "task_type": "CAUSAL_LM",
        **changes,
    }


def write_lora_folder(name, tensors, config, multimodal, model_config, prefix="base_model.model."):
    folder = new_folder(name)
    write_json(folder / "adapter_config.json", config)
    write_json(folder / "config.json", model_config)
    torch.save({prefix + key: value for key, value in cast(multimodal, torch.bfloat16).items()}, folder / "non_lora_trainables.bin")
    return folder, cast(tensors, torch.float16)


def write_lora():
    mlp2x = projector("lora-mlp2x", "mlp2x_gelu", 24, 48)
    folder, tensors = write_lora_folder(
        "llava-v1.5-lora-rslora",
        adapters("rslora", lambda layer, module: 4),
        adapter_config(use_rslora=True),
        mlp2x,
        original_config(),
    )
    # Some trainers leave the adapter's name in the keys. peft would skip such keys without a word:
    # make_bundles.py takes the name out again for it.
    named = {key.replace(".weight", ".default.weight"): value for key, value in tensors.items()}
    write_safetensors(folder / "adapter_model.safetensors", named)

    def patterned(layer, module):
        if module == "self_attn.q_proj":
            return 2
        return 6 if (layer, module) == (1, "mlp.down_proj") else 4

    folder, tensors = write_lora_folder(
        "llava-v1.5-lora-patterns",
        adapters("patterns", patterned),
        adapter_config(
            rank_pattern={"q_proj": 2, "layers.1.mlp.down_proj": 6}, alpha_pattern={"q_proj": 6, "layers.0.mlp.up_proj": 2}
        ),
        mlp2x,
        original_config(),
    )
    torch.save(tensors, folder / "adapter_model.bin")

    # Targets by regular expression, a head trained whole, and file names without the wrapper's prefix.
    folder, tensors = write_lora_folder(
        "llava-v1.5-lora-head",
        adapters("lora-head", lambda layer, module: 4 if module.endswith(("q_proj", "v_proj")) and layer == 1 else None),
        adapter_config(target_modules=r"model\.layers\.1\.self_attn\.(q|v)_proj", modules_to_save=["lm_head"]),
        mlp2x,
        original_config(),
        prefix="",
    )
    tensors["base_model.model.lm_head.weight"] = Normal("lora-head-rows").matrix(448, 48, 3.0).half()
    write_safetensors(folder / "adapter_model.safetensors", tensors)

    gguf = {module: (rows * 64 // 48 if rows == 48 else rows, columns * 64 // 48 if columns == 48 else columns) for module, (rows, columns) in LINEAR.items()}
    gguf = {module: (96 if rows == 64 and "mlp" in module and "down" not in module else rows, 96 if "down" in module else columns) for module, (rows, columns) in gguf.items()}
    gguf["self_attn.k_proj"] = gguf["self_attn.v_proj"] = (32, 64)
    folder, tensors = write_lora_folder(
        "llava-v1.5-lora-gguf",
        adapters("lora-gguf", lambda layer, module: 4, gguf),
        adapter_config(base_model_name_or_path="base-gguf.gguf"),
        projector("lora-gguf", "mlp2x_gelu", 24, 64),
        {**original_config(**GGUF_LEGACY), "max_position_embeddings": 512},
    )
    write_safetensors(folder / "adapter_model.safetensors", tensors)


# --- GGUF bases -----------------------------------------------------------------------------------

GGUF_LEGACY = {
    "vocab_size": 448,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
GGUF_K = {
    "vocab_size": 448,
    "hidden_size": 256,
    "intermediate_size": 256,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
}
GGUF_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def k_quant_blocks(name, kind, rows, columns):
    """Random K-quant blocks: the Python package dequantises these formats but cannot make them. Any
    bytes are a valid block; only the float16 scales are chosen, so that weights have a sensible size."""
    generator = np.random.Generator(np.random.PCG64(list(f"{name}/{kind}".encode())))
    count, size = rows * columns // 256, {"Q4_K": 144, "Q5_K": 176, "Q6_K": 210}[kind]
    blocks = generator.integers(0, 256, (count, size), dtype=np.uint8)
    target = 1.2 / math.sqrt(columns)
    if kind == "Q6_K":
        # 64 int8 scales times 6-bit values around zero
        scale = (target / (18 * 74) * generator.uniform(0.8, 1.2, count)).astype(np.float16)
        blocks[:, -2:] = scale.view(np.uint8).reshape(count, 2)
    else:
        steps = 15 if kind == "Q4_K" else 31
        scale = (target / (steps * 0.29 * 32) * generator.uniform(0.8, 1.2, count)).astype(np.float16)
        low = (scale.astype(np.float32) * steps / 2).astype(np.float16)
        blocks[:, 0:2] = scale.view(np.uint8).reshape(count, 2)
        blocks[:, 2:4] = low.view(np.uint8).reshape(count, 2)
    return blocks.reshape(rows, -1)


def write_gguf(path, shape, matrix, tied):
    """`matrix(name, rows, columns)` gives (data, type) for each matrix."""
    import gguf
    import sentencepiece

    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name(path.stem)
    writer.add_context_length(512)
    writer.add_embedding_length(shape["hidden_size"])
    writer.add_block_count(shape["num_hidden_layers"])
    writer.add_feed_forward_length(shape["intermediate_size"])
    writer.add_head_count(shape["num_attention_heads"])
    writer.add_head_count_kv(shape["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(1e-5)
    head_dim = shape["hidden_size"] // shape["num_attention_heads"]
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(shape["vocab_size"])
    pieces = sentencepiece.SentencePieceProcessor()
    pieces.LoadFromSerializedProto(sentencepiece_model())
    kinds = [
        gguf.TokenType.UNKNOWN if pieces.IsUnknown(i) else gguf.TokenType.CONTROL if pieces.IsControl(i)
        else gguf.TokenType.BYTE if pieces.IsByte(i) else gguf.TokenType.NORMAL
        for i in range(pieces.GetPieceSize())
    ]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([pieces.IdToPiece(i).encode() for i in range(len(kinds))])
    writer.add_token_scores([pieces.GetScore(i) for i in range(len(kinds))])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)

    def add(name, data, kind):
        writer.add_tensor(name, data, raw_dtype=kind)

    tensors = decoder(path.stem, shape)
    norm = lambda key: tensors[key].numpy()  # noqa: E731
    sizes = {"token_embd": tensors["model.embed_tokens.weight"]}
    if not tied:
        sizes["output"] = tensors["lm_head.weight"]
    for name, tensor in sizes.items():
        add(name + ".weight", *matrix(name, tensor))
    for layer in range(shape["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        add(f"blk.{layer}.attn_norm.weight", norm(at + "input_layernorm.weight"), gguf.GGMLQuantizationType.F32)
        add(f"blk.{layer}.ffn_norm.weight", norm(at + "post_attention_layernorm.weight"), gguf.GGMLQuantizationType.F32)
        for module, name in GGUF_NAMES.items():
            add(f"blk.{layer}.{name}.weight", *matrix(f"blk.{layer}.{name}", tensors[f"{at}{module}.weight"]))
    add("output_norm.weight", norm("model.norm.weight"), gguf.GGMLQuantizationType.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_gguf_bases():
    import gguf

    kinds = gguf.GGMLQuantizationType
    # One matrix of every format that the package can make; q and k rows are in the file's interleaved
    # order simply by being read so, because the values are random.
    legacy = {
        "token_embd": kinds.Q8_0,
        "output": kinds.F16,
        "blk.0.attn_q": kinds.Q4_0,
        "blk.0.attn_k": kinds.Q4_1,
        "blk.0.attn_v": kinds.Q5_0,
        "blk.0.attn_output": kinds.Q5_1,
        "blk.0.ffn_gate": kinds.BF16,
        "blk.0.ffn_up": kinds.Q8_0,
        "blk.0.ffn_down": kinds.Q4_0,
        "blk.1.attn_q": kinds.F32,
        "blk.1.attn_k": kinds.Q8_0,
        "blk.1.attn_v": kinds.Q4_1,
        "blk.1.attn_output": kinds.F16,
        "blk.1.ffn_gate": kinds.Q5_1,
        "blk.1.ffn_up": kinds.Q5_0,
        "blk.1.ffn_down": kinds.Q8_0,
    }
    write_gguf(
        MODELS / "base-gguf.gguf",
        GGUF_LEGACY,
        lambda name, tensor: (gguf.quants.quantize(tensor.numpy(), legacy[name]), legacy[name]),
        tied=False,
    )
    k_quants = {
        "token_embd": "Q6_K",
        "attn_q": "Q4_K",
        "attn_k": "Q5_K",
        "attn_v": "Q6_K",
        "attn_output": "Q5_K",
        "ffn_gate": "Q4_K",
        "ffn_up": "Q4_K",
        "ffn_down": "Q6_K",
    }

    def k_matrix(name, tensor):
        kind = k_quants[name.split(".")[-1]]
        return k_quant_blocks(name, kind, *tensor.shape), kinds[kind]

    write_gguf(MODELS / "base-gguf-k.gguf", GGUF_K, k_matrix, tied=True)


# --- the llava-hf layout ------------------------------------------------------------------------------

VICUNA_CHAT = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{# Render all images first #}{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\n' }}{% endfor %}{# Render all text next #}{% for content in message['content'] | selectattr('type', "
    "'equalto', 'text') %}{{ content['text'] + ' '}}{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
CHATML_CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3_CHAT = (
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] | trim }}{% endfor %}"
    "{{ '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)


def llama_fast_tokenizer():
    """A LLaMA tokenizer.json of the legacy=false kind with <image> and <pad>, as llava-hf has it."""
    import tempfile

    import transformers

    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        write_slow_tokenizer(folder)
        tokenizer = transformers.LlamaTokenizerFast.from_pretrained(folder, legacy=False)
    special = [transformers.AddedToken(text, special=True, normalized=False) for text in ("<image>", "<pad>")]
    tokenizer.add_tokens(special)
    tokenizer.pad_token = "<pad>"
    return tokenizer


def qwen2_fast_tokenizer():
    import transformers

    core = byte_level_tokenizer(
        QWEN2_PATTERN, 400, ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"], normalise=True
    )
    return transformers.Qwen2TokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>", unk_token=None, bos_token=None
    )


def llama3_fast_tokenizer():
    import transformers

    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<image>"]
    core = byte_level_tokenizer(LLAMA3_PATTERN, 400, names, normalise=False, begin="<|begin_of_text|>")
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        pad_token="<|end_of_text|>",
        model_input_names=["input_ids", "attention_mask"],
    )


def hf_names(tensors):
    """The original's names to those of transformers' modules."""
    out = {}
    for key, value in tensors.items():
        key = key.replace("model.mm_projector.0.", "model.multi_modal_projector.linear_1.")
        key = key.replace("model.mm_projector.2.", "model.multi_modal_projector.linear_2.")
        if key.startswith(("model.embed_tokens", "model.layers", "model.norm")):
            key = "model.language_" + key
        elif key.startswith("vision_model."):
            key = "model.vision_tower." + key
        out[key] = value
    return out


def write_hf(name, text_class, tokenizer, chat, text, kind="llava", dtype=torch.bfloat16, vision=CLIP_28, **changes):
    """Builds the model with transformers, fills it with our numbers and lets transformers save it."""
    import transformers

    folder = new_folder(name)
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    keys = {key: value for key, value in text.items() if key not in ("qkv_bias", "o_bias")}
    text_config = text_class(rms_norm_eps=1e-5, max_position_embeddings=1024, **{**special, **keys})
    vision_config = transformers.CLIPVisionConfig(projection_dim=12, **vision)
    classes = {
        "llava": (transformers.LlavaConfig, transformers.LlavaForConditionalGeneration),
        "llava_next": (transformers.LlavaNextConfig, transformers.LlavaNextForConditionalGeneration),
    }
    common = {"image_token_index": tokenizer.convert_tokens_to_ids("<image>"), "image_seq_length": 16, **changes}
    if kind == "llava_next":
        common["image_grid_pinpoints"] = PINPOINTS
    config = classes[kind][0](vision_config=vision_config, text_config=text_config, **common)
    model = classes[kind][1](config)
    layers = changes.get("vision_feature_layer", -2)
    width = vision["hidden_size"] * (len(layers) if isinstance(layers, list) else 1)
    tensors = {
        **decoder(name, text),
        **tower(name + "-tower", vision),
        **projector(name + "-projector", "mlp2x_gelu", width, text["hidden_size"]),
    }
    if kind == "llava_next":
        tensors.update(newline(name + "-newline", text["hidden_size"]))
    if text.get("tie_word_embeddings"):
        # With ours the residual stream would stay at the last token's embedding and repeat it.
        tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"] * 0.35
        del tensors["lm_head.weight"]
    if changes.get("multimodal_projector_bias") is False:
        tensors = {key: value for key, value in tensors.items() if not (".mm_projector." in key and key.endswith("bias"))}
    missing, unexpected = model.load_state_dict(hf_names(tensors), strict=False)
    expected_missing = {"lm_head.weight"} if text.get("tie_word_embeddings") else set()
    assert set(missing) <= expected_missing and not unexpected, (missing, unexpected)
    model.tie_weights()
    model.generation_config = transformers.GenerationConfig(**special)
    model.to(dtype)
    model.config.dtype = dtype
    model.save_pretrained(folder)

    size = vision["image_size"]
    arguments = {"size": {"shortest_edge": size}, "crop_size": {"height": size, "width": size}}
    if kind == "llava":
        images, processor = transformers.CLIPImageProcessor(**arguments), transformers.LlavaProcessor
    else:
        images = transformers.LlavaNextImageProcessor(**arguments, image_grid_pinpoints=PINPOINTS)
        processor = transformers.LlavaNextProcessor
    processor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=vision["patch_size"],
        vision_feature_select_strategy=changes.get("vision_feature_select_strategy", "default"),
        chat_template=chat,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    return folder


HF_LLAMA = {**LLAMA, "vocab_size": 456, "num_key_value_heads": 1}
HF_QWEN2 = {**LLAMA, "vocab_size": 416, "num_attention_heads": 4, "num_key_value_heads": 2, "qkv_bias": True}


def write_hf_models():
    import transformers

    llama, qwen2 = llama_fast_tokenizer(), qwen2_fast_tokenizer()
    Llama, Mistral, Qwen2 = transformers.LlamaConfig, transformers.MistralConfig, transformers.Qwen2Config

    write_hf("hf-llava", Llama, llama, VICUNA_CHAT, {**HF_LLAMA, "rope_theta": 500.0})

    # The same weights with other settings: nothing but config.json differs.
    def variant(name, edit, source="hf-llava"):
        edit_json(copy_folder(source, name) / "config.json", edit)

    def rope(scaling, **more):
        return lambda config: config["text_config"].update(rope_scaling=scaling, **more)

    variant("hf-llava-rope-linear", rope({"rope_type": "linear", "factor": 4.0}))
    variant("hf-llava-rope-dynamic", rope({"rope_type": "dynamic", "factor": 2.0}, max_position_embeddings=24))
    llama3 = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    variant("hf-llava-rope-llama3", rope(llama3))

    def full_strategy(config):
        config.update(vision_feature_select_strategy="full", vision_feature_layer=-1)

    variant("hf-llava-full", full_strategy)
    for file in ("processor_config.json",):
        edit_json(MODELS / "hf-llava-full" / file, lambda value: value.update(vision_feature_select_strategy="full"))

    # The end token is one of two.
    folder = copy_folder("hf-llava", "hf-llava-eos-list")
    edit_json(folder / "generation_config.json", lambda value: value.update(eos_token_id=[2, EOS_LIST_EXTRA]))

    # LlavaImageProcessor with padding to a square, the original's way.
    folder = copy_folder("hf-llava", "hf-llava-pad")
    edit_json(
        folder / "preprocessor_config.json",
        lambda value: value.update(image_processor_type="LlavaImageProcessor", do_pad=True),
    )

    # The same tensors under the names that transformers has in memory since 4.52.
    folder = copy_folder("hf-llava", "hf-llava-new-keys")
    from safetensors.torch import load_file

    classic = load_file(folder / "model.safetensors")
    renamed = {}
    for key, value in classic.items():
        if key.startswith("language_model.lm_head."):
            key = key.removeprefix("language_model.")
        elif key.startswith("language_model.model."):
            key = "model.language_model." + key.removeprefix("language_model.model.")
        else:
            key = "model." + key
        renamed[key] = value
    write_safetensors(folder / "model.safetensors", renamed)

    write_hf("hf-llava-tied", Llama, llama, VICUNA_CHAT, {**HF_LLAMA, "tie_word_embeddings": True})
    # Tied by its flag, yet with a head in the file: transformers 5 uses the head.
    folder = copy_folder("hf-llava-tied", "hf-llava-tied-with-head")
    tensors = load_file(folder / "model.safetensors")
    tensors["language_model.lm_head.weight"] = Normal("own-head").matrix(456, 48, 3.0).bfloat16()
    write_safetensors(folder / "model.safetensors", tensors)

    write_hf(
        "hf-llava-head-dim",
        Llama,
        llama,
        VICUNA_CHAT,
        {**HF_LLAMA, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 10, "attention_bias": True, "qkv_bias": True, "o_bias": True},
        dtype=torch.float16,
        multimodal_projector_bias=False,
    )
    write_hf(
        "hf-llava-layer-list",
        Llama,
        llama,
        VICUNA_CHAT,
        {**HF_LLAMA, "num_hidden_layers": 1},
        vision_feature_layer=[-2, 1, -1],
    )
    write_hf("hf-qwen2", Qwen2, qwen2, CHATML_CHAT, HF_QWEN2)
    write_hf("hf-qwen2-tied", Qwen2, qwen2, CHATML_CHAT, {**HF_QWEN2, "tie_word_embeddings": True}, dtype=torch.float16)
    write_hf(
        "hf-next-mistral",
        Mistral,
        llama,
        VICUNA_CHAT,
        {**HF_LLAMA, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "sliding_window": 12},
        kind="llava_next",
    )
    write_hf(
        "hf-next-llama3",
        Llama,
        llama3_fast_tokenizer(),
        LLAMA3_CHAT,
        {**HF_LLAMA, "vocab_size": 416, "rope_theta": 500000.0, "rope_scaling": llama3},
        kind="llava_next",
    )
    write_hf("hf-next-qwen2", Qwen2, qwen2, CHATML_CHAT, {**HF_QWEN2, "rope_theta": 1000000.0}, kind="llava_next")


# The sixth token of the greedy continuation of hf-llava/landscape.
EOS_LIST_EXTRA = 363


def resave_with_transformers5():
    """The same models as transformers 5 writes them: image processor inside processor_config.json,
    `rope_parameters`, TokenizersBackend."""
    import transformers

    assert transformers.__version__.startswith("5."), transformers.__version__
    for source, name, model_class in [
        ("hf-llava", "hf5-llava", transformers.LlavaForConditionalGeneration),
        ("hf-next-llama3", "hf5-next-llama3", transformers.LlavaNextForConditionalGeneration),
        ("hf-qwen2-tied", "hf5-qwen2-tied", transformers.LlavaForConditionalGeneration),
    ]:
        folder = new_folder(name)
        model_class.from_pretrained(MODELS / source, dtype="auto").save_pretrained(folder)
        transformers.AutoProcessor.from_pretrained(MODELS / source).save_pretrained(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resave5", action="store_true")
    if parser.parse_args().resave5:
        resave_with_transformers5()
        return
    write_pictures()
    write_towers()
    write_original_models()
    write_hf_models()


if __name__ == "__main__":
    main()
