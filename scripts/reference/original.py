# SPDX-License-Identifier: Apache-2.0
"""The original `llava` package."""
import json

import torch

from reference.case import DTYPES, IMAGE_SENTINEL, Encoded, Outputs, UsageError
from reference.pictures import open_picture
from reference.versions import package_version


class OriginalReference:
    """Original layout, computed by the `llava` package: `load_pretrained_model`, `process_images`,
    `tokenizer_image_token`, `generate`. It loads in float16; for float32 and bfloat16 the loaded
    model is converted, so adapters are merged in float16 whatever the compute dtype."""

    def __init__(self, model_path, model_base, dtype, model_name=None):
        from llava.mm_utils import get_model_name_from_path
        from llava.model.builder import load_pretrained_model

        self.source = "llava " + package_version(("llava", "llava-torch"))
        name = model_name or get_model_name_from_path(str(model_path))
        if "llava" not in name.lower():
            raise UsageError(f"the original decides by name and takes '{name}' for a text model: give --model-name llava-...")
        self.conv_mode = infer_conv_mode(name)
        self.tokenizer, self.model, self.image_processor, _ = load_pretrained_model(
            str(model_path), str(model_base) if model_base else None, name, device="cpu"
        )
        self.model.eval()
        self.dtype = DTYPES[dtype]
        if dtype != "float16":
            self.model.to(self.dtype)
        self.lora = "merged" if model_base and "lora" in name.lower() else None

    def encode(self, case):
        from llava.mm_utils import process_images, tokenizer_image_token

        config = self.model.config
        metadata = {}
        messages, prompt, labels = case.messages, case.prompt, None
        if prompt is None:
            mode = case.conv_mode or self.conv_mode
            messages = messages or [[None, self._place_pictures(case)], [None, case.reply]]
            prompt, messages, template = self._render(mode, messages)
            metadata = {"messages": json.dumps(messages), "conv_mode": mode}
        input_ids = tokenizer_image_token(prompt, self.tokenizer, IMAGE_SENTINEL, return_tensors="pt")
        if case.reply is not None:
            if messages is None:
                raise UsageError("--reply needs --query: labels belong to the turns of a conversation")
            input_ids, labels = self._training_ids(template, messages, bool(case.images))
        pixel_values, inputs = None, {}
        if case.images:
            pictures = [open_picture(path) for path in case.images]
            saved = getattr(config, "image_aspect_ratio", None)
            if case.image_aspect_ratio is not None:
                config.image_aspect_ratio = case.image_aspect_ratio
                metadata["image_aspect_ratio"] = case.image_aspect_ratio
            tiles = process_images(pictures, self.image_processor, config)
            inputs["image_aspect_ratio"] = getattr(config, "image_aspect_ratio", None)
            if saved is not None:
                config.image_aspect_ratio = saved
            per_picture = [view if view.dim() == 4 else view[None] for view in tiles]
            pixel_values = torch.cat(per_picture).float()
            # The loader hands the model float16 pixels; a float32 run keeps the processor's values.
            if isinstance(tiles, list):
                inputs["images"] = [view.to(self.dtype) for view in tiles]
            else:
                inputs["images"] = tiles.to(self.dtype)
            inputs["image_sizes"] = [picture.size for picture in pictures]
        return Encoded(prompt, input_ids, pixel_values, labels, metadata, inputs)

    def _place_pictures(self, case):
        query = case.query
        if not case.images or "<image>" in query:
            return query
        token = "<image>"
        if getattr(self.model.config, "mm_use_im_start_end", False):
            token = "<im_start><image><im_end>"
        return (token + "\n") * len(case.images) + query

    def _render(self, mode, messages):
        from llava.conversation import conv_templates

        if mode not in conv_templates:
            raise UsageError(f"unknown --conv-mode '{mode}', known: {', '.join(sorted(conv_templates))}")
        template = conv_templates[mode].copy()
        rendered = []
        for index, (role, text) in enumerate(messages):
            rendered.append([role or template.roles[index % 2], text])
            template.append_message(*rendered[-1])
        return template.get_prompt(), rendered, template

    def _training_ids(self, template, messages, has_image):
        from llava import conversation
        from llava.train.train import preprocess

        turns = [
            {"from": "human" if index % 2 == 0 else "gpt", "value": text} for index, (_, text) in enumerate(messages)
        ]
        saved = conversation.default_conversation
        blank = template.copy()
        blank.messages = []
        conversation.default_conversation = blank
        try:
            out = preprocess([turns], self.tokenizer, has_image=has_image)
        finally:
            conversation.default_conversation = saved
        return out["input_ids"][0], out["labels"][0]

    def vision_hidden(self, encoded):
        tower = self.model.get_vision_tower().vision_tower
        return tower(encoded.pixel_values.to(tower.dtype), output_hidden_states=True).hidden_states

    def _splice(self, ids, labels, inputs):
        config = self.model.config
        saved = getattr(config, "image_aspect_ratio", None)
        if inputs.get("image_aspect_ratio") is not None:
            config.image_aspect_ratio = inputs["image_aspect_ratio"]
        out = self.model.prepare_inputs_labels_for_multimodal(
            ids, None, None, None, labels, inputs["images"], inputs["image_sizes"]
        )
        if saved is not None:
            config.image_aspect_ratio = saved
        return out[4], out[5]

    def forward(self, encoded):
        fresh_rope(self.model)
        ids = encoded.input_ids[None]
        labels = None if encoded.labels is None else encoded.labels[None]
        features = None
        if encoded.pixel_values is None:
            embeds = self.model.get_model().embed_tokens(ids)
        else:
            embeds, labels = self._splice(ids, labels, encoded.inputs)
            # A prompt of nothing but pictures splices to exactly their rows.
            limit = getattr(self.model.config, "tokenizer_model_max_length", None)
            self.model.config.tokenizer_model_max_length = None
            only_pictures = ids[ids == IMAGE_SENTINEL][None]
            if only_pictures.shape[1] == 1:
                only_pictures = torch.cat([only_pictures, ids.new_zeros(1, 1)], dim=1)
                features = self._splice(only_pictures, None, encoded.inputs)[0][0, :-1]
            else:
                features = self._splice(only_pictures, None, encoded.inputs)[0][0]
            if limit is not None:
                self.model.config.tokenizer_model_max_length = limit
            else:
                del self.model.config.tokenizer_model_max_length
        out = self.model(inputs_embeds=embeds, labels=labels, output_hidden_states=True)
        hidden = [state[0] for state in out.hidden_states]
        return Outputs(features, embeds[0], hidden, out.logits[0], out.loss)

    def generate(self, encoded, **arguments):
        fresh_rope(self.model)
        inputs = {key: encoded.inputs.get(key) for key in ("images", "image_sizes")}
        out = self.model.generate(
            encoded.input_ids[None],
            **inputs,
            use_cache=True,
            return_dict_in_generate=True,
            output_scores=True,
            **arguments,
        )
        return out, 1  # the library puts one begin token in front


def fresh_rope(model):
    """Rebuilds the original's (transformers 4.37) rotary tables in float32: made in float16 at load, they
    would stay rounded in a float32 run, and those of `dynamic` scaling remember the longest prompt so far."""
    for module in model.modules():
        if hasattr(module, "_set_cos_sin_cache"):
            exponents = torch.arange(0, module.dim, 2).float() / module.dim
            module.register_buffer("inv_freq", 1.0 / (module.base**exponents), persistent=False)
            module._set_cos_sin_cache(seq_len=module.max_position_embeddings, device="cpu", dtype=torch.float32)


def infer_conv_mode(model_name):
    """The original's rule: the first of these found in the lower-case name."""
    name = model_name.lower()
    for part, mode in [
        ("llama-2", "llava_llama_2"),
        ("mistral", "mistral_instruct"),
        ("v1.6-34b", "chatml_direct"),
        ("v1", "llava_v1"),
        ("mpt", "mpt"),
    ]:
        if part in name:
            return mode
    return "llava_v0"
