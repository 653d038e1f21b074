# SPDX-License-Identifier: Apache-2.0
"""transformers' own LLaVA classes."""
import json

import torch

from reference.case import DTYPES, Encoded, Outputs, UsageError
from reference.pictures import open_picture
from reference.versions import dtype_argument, transformers_version


class HfReference:
    """`llava-hf` layout, computed by transformers' Llava and LlavaNext classes."""

    lora = None

    def __init__(self, model_path, dtype):
        import transformers

        self.source = f"transformers {transformers.__version__}"
        self.dtype = DTYPES[dtype]
        config = transformers.AutoConfig.from_pretrained(model_path)
        classes = {
            "llava": transformers.LlavaForConditionalGeneration,
            "llava_next": transformers.LlavaNextForConditionalGeneration,
        }
        if config.model_type not in classes:
            raise UsageError(f"{model_path}: model_type '{config.model_type}' is not one of {sorted(classes)}")
        self.model = classes[config.model_type].from_pretrained(model_path, **dtype_argument(self.dtype)).eval()
        self.processor = transformers.AutoProcessor.from_pretrained(model_path)
        if transformers_version() < (5, 0):
            # Bit for bit reproducible pixels come from the processors that compute with Pillow.
            slow = transformers.AutoImageProcessor.from_pretrained(model_path, use_fast=False)
            self.processor.image_processor = slow
        self.tokenizer = self.processor.tokenizer
        self.image_token_id = next(
            getattr(config, key) for key in ("image_token_id", "image_token_index") if hasattr(config, key)
        )

    def encode(self, case):
        if case.reply is not None:
            raise UsageError("--reply needs a checkpoint of the original layout: only its trainer defines the label mask")
        if case.image_aspect_ratio is not None:
            raise UsageError("--image-aspect-ratio is a setting of the original layout")
        metadata = {}
        prompt = case.prompt
        if prompt is None and case.query is not None and "<image>" in case.query:
            raise UsageError("llava-hf templates place the pictures themselves: leave <image> out, or give --prompt")
        if prompt is None:
            messages = case.messages or [["user", case.query]]
            hf_messages = []
            for index, (role, text) in enumerate(messages):
                pictures = [{"type": "image"}] * len(case.images) if index == 0 else []
                hf_messages.append({"role": role, "content": pictures + [{"type": "text", "text": text}]})
            # Older repositories keep the template with the tokenizer.
            renderer = self.processor if self.processor.chat_template else self.tokenizer
            prompt = renderer.apply_chat_template(hf_messages, add_generation_prompt=True, tokenize=False)
            metadata["hf_messages"] = json.dumps(hf_messages)
        pictures = [open_picture(path) for path in case.images]
        # As apply_chat_template(tokenize=True): a begin token that the template wrote is not added again.
        begin = self.tokenizer.bos_token
        adds = not (begin and prompt.startswith(begin))
        inputs = dict(
            self.processor(text=[prompt], images=pictures or None, add_special_tokens=adds, return_tensors="pt")
        )
        unexpanded = torch.tensor(self.tokenizer(prompt, add_special_tokens=adds)["input_ids"], dtype=torch.int64)
        pixel_values = None
        if pictures:
            pixel_values = self._without_padding_tiles(inputs)
            inputs["pixel_values"] = inputs["pixel_values"].to(self.dtype)
        return Encoded(prompt, unexpanded, pixel_values, metadata=metadata, inputs=inputs)

    def _without_padding_tiles(self, inputs):
        pixel_values = inputs["pixel_values"].float()
        if pixel_values.dim() == 4:
            return pixel_values
        from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

        config = self.model.config
        tiles = []
        for views, size in zip(pixel_values, inputs["image_sizes"]):
            count = image_size_to_num_patches(size, config.image_grid_pinpoints, config.vision_config.image_size)
            tiles.append(views[:count])
        return torch.cat(tiles)

    def vision_hidden(self, encoded):
        tower = getattr(self.model, "vision_tower", None) or self.model.model.vision_tower
        return tower(encoded.pixel_values.to(self.dtype), output_hidden_states=True).hidden_states

    def forward(self, encoded):
        out = self.model(**encoded.inputs, output_hidden_states=True)
        hidden = [state[0] for state in out.hidden_states]
        features = None
        if encoded.pixel_values is not None:
            # The rows at the image positions are the projected features, in order.
            features = hidden[0][encoded.inputs["input_ids"][0] == self.image_token_id]
        return Outputs(features, hidden[0], hidden, out.logits[0])

    def generate(self, encoded, **arguments):
        out = self.model.generate(
            **encoded.inputs, return_dict_in_generate=True, output_scores=True, **arguments
        )
        return out, encoded.inputs["input_ids"].shape[1]
