# SPDX-License-Identifier: Apache-2.0
"""LoRA and projector-only folders, and the language models they stand on."""
import math

import torch

from tiny.folders import new_folder, write_json, write_safetensors
from tiny.gguf_bases import GGUF_K, GGUF_LEGACY, write_gguf_bases
from tiny.original import LLAMA, PINPOINTS, original_config
from tiny.tokenizers import write_slow_tokenizer
from tiny.weights import Normal, cast, decoder, newline, projector


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

    # Over a whole LLaVA-1.6 instead of a language model, with a newline of its own.
    folder = new_folder("llava-projector-newline")
    write_json(folder / "config.json", original_config(**ANYRES_UNPAD))
    tensors = {**projector("projector-newline", "mlp2x_gelu", 24, 48), **newline("projector-newline-row", 48)}
    torch.save(cast(tensors, torch.float16), folder / "mm_projector.bin")

    folder = new_folder("llava-projector-gguf-k")
    config = original_config(mm_projector_type="mlp2x_gelu", torch_dtype="float16", **GGUF_K)
    write_json(folder / "config.json", {**config, "max_position_embeddings": 512})
    torch.save(cast(projector("gguf-k", "mlp2x_gelu", 24, 256), torch.float16), folder / "mm_projector.bin")


ANYRES_UNPAD = {
    "image_aspect_ratio": "anyres",
    "image_grid_pinpoints": PINPOINTS,
    "mm_patch_merge_type": "spatial_unpad",
}


def linear_shapes(shape):
    """[out, in] of every linear layer of a decoder block."""
    width, inner = shape["hidden_size"], shape["intermediate_size"]
    kv_rows = width // shape["num_attention_heads"] * shape["num_key_value_heads"]
    return {
        "self_attn.q_proj": (width, width),
        "self_attn.k_proj": (kv_rows, width),
        "self_attn.v_proj": (kv_rows, width),
        "self_attn.o_proj": (width, width),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }


def adapters(name, rank_of, shape=LLAMA):
    """`rank_of(layer, module)` is the rank, or None where the module has no adapter."""
    normal, out = Normal(name), {}
    for layer in range(shape["num_hidden_layers"]):
        for module, (rows, columns) in linear_shapes(shape).items():
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
        "target_modules": sorted(module.split(".")[1] for module in linear_shapes(LLAMA)),
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

    # Over a whole LLaVA-1.6 whose tower was trained: the base holds the tower.
    folder, tensors = write_lora_folder(
        "llava-v1.6-lora",
        adapters("lora-1.6", lambda layer, module: 4),
        adapter_config(base_model_name_or_path="llava-v1.6-tower-inside"),
        {**mlp2x, **newline("lora-1.6-newline", 48)},
        original_config(**ANYRES_UNPAD, unfreeze_mm_vision_tower=True),
    )
    torch.save(tensors, folder / "adapter_model.bin")

    folder, tensors = write_lora_folder(
        "llava-v1.5-lora-gguf",
        adapters("lora-gguf", lambda layer, module: 4, GGUF_LEGACY),
        adapter_config(base_model_name_or_path="base-gguf.gguf"),
        projector("lora-gguf", "mlp2x_gelu", 24, 64),
        {**original_config(**GGUF_LEGACY), "max_position_embeddings": 512},
    )
    write_safetensors(folder / "adapter_model.safetensors", tensors)
