# SPDX-License-Identifier: Apache-2.0
"""Checkpoints in the llava-hf layout, saved by transformers itself."""
import torch
from safetensors.torch import load_file

from tiny.folders import MODELS, copy_folder, edit_json, new_folder, write_safetensors
from tiny.original import CLIP_28, LLAMA, PINPOINTS
from tiny.tokenizers import llama3_fast_tokenizer, llama_fast_tokenizer, qwen2_fast_tokenizer
from tiny.weights import Normal, decoder, newline, projector, tower


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


# The sixth token of the greedy continuation of hf-llava/landscape.
EOS_LIST_EXTRA = 363

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
    processor = MODELS / "hf-llava-full" / "processor_config.json"
    edit_json(processor, lambda value: value.update(vision_feature_select_strategy="full"))

    # The end token is one of two.
    folder = copy_folder("hf-llava", "hf-llava-eos-list")
    edit_json(folder / "generation_config.json", lambda value: value.update(eos_token_id=[2, EOS_LIST_EXTRA]))

    # LlavaImageProcessor with padding to a square, the original's way.
    folder = copy_folder("hf-llava", "hf-llava-pad")
    edit_json(
        folder / "preprocessor_config.json",
        lambda value: value.update(image_processor_type="LlavaImageProcessor", do_pad=True),
    )

    # The files of an older repository: the template in tokenizer_config.json, no processor_config.json, bare
    # numbers for sizes, and no key that equals its default.
    folder = copy_folder("hf-llava", "hf-llava-old-files")
    (folder / "processor_config.json").unlink()
    (folder / "chat_template.jinja").unlink()
    edit_json(folder / "tokenizer_config.json", lambda value: value.update(chat_template=VICUNA_CHAT))
    edit_json(folder / "preprocessor_config.json", lambda value: value.update(size=28, crop_size=28))

    def without_defaults(config):
        text = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
        text += ("num_key_value_heads", "model_type")
        config["text_config"] = {key: config["text_config"][key] for key in text}
        config["vision_config"] = {"model_type": "clip_vision_model", **CLIP_28}
        for key in ("vision_feature_layer", "vision_feature_select_strategy", "projector_hidden_act"):
            del config[key]
        for key in ("multimodal_projector_bias", "image_seq_length", "dtype"):
            config.pop(key, None)

    edit_json(folder / "config.json", without_defaults)

    # The same tensors under the names that transformers has in memory since 4.52, and the newer alias.
    folder = copy_folder("hf-llava", "hf-llava-new-keys")
    edit_json(folder / "config.json", lambda value: value.update(image_token_id=value.pop("image_token_index")))
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
