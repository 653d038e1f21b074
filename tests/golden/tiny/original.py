# SPDX-License-Identifier: Apache-2.0
"""Checkpoints in the original layout, with their vision towers."""
import torch

from tiny.folders import MODELS, new_folder, write_json, write_safetensors, write_shards
from tiny.tokenizers import write_chatml_tokenizer, write_slow_tokenizer
from tiny.weights import Normal, cast, decoder, newline, projector, tower


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
    inside = {"model.vision_tower.vision_tower." + key: value for key, value in tower("tower-inside", CLIP_28).items()}
    write_original(
        "llava-v1.6-tower-inside",
        {**with_newline, **inside},
        **anyres,
        mm_patch_merge_type="spatial_unpad",
        unfreeze_mm_vision_tower=True,
    )

    # The 34B model's template and tokenizer over the same language model.
    folder = write_original(
        "llava-v1.6-34b", with_newline, **anyres, mm_patch_merge_type="spatial_unpad", eos_token_id=4
    )
    (folder / "special_tokens_map.json").unlink()
    write_chatml_tokenizer(folder)
    write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 4, "pad_token_id": 0})
    write_mistral()
    write_legacy()


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
