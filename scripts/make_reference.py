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
    or --lora unmerged                        peft for the adapters, this file for the few lines between
    anything else                             an error that says what to install

Every combination of --image and --query becomes a bundle; with --together all pictures go into
one prompt. A query may place its pictures itself with `<image>`; otherwise they stand in front of
it, as the program that is recorded does. --reply adds the answer, for `labels` and `loss`.
"""
import argparse
import dataclasses
import importlib.util
import inspect
import json
import os
import pathlib
import sys

import torch
from PIL import Image

FORMAT = "llava-reference/1"
IMAGE_SENTINEL = -200  # stands for a picture in the ids of the original layout
IGNORE_INDEX = -100
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class UsageError(Exception):
    """Something the user can put right: shown without a traceback."""


@dataclasses.dataclass
class Case:
    """One prompt with its pictures. Give `query` (the model's own template is applied),
    `messages` (pairs of role and text, for `conv_mode`) or `prompt` (used as it is)."""

    name: str
    images: list = dataclasses.field(default_factory=list)
    query: str = None
    messages: list = None
    prompt: str = None
    conv_mode: str = None
    reply: str = None
    image_aspect_ratio: str = None
    max_new_tokens: int = 24


@dataclasses.dataclass
class Options:
    """What of a case is kept. `layers` is "all", or a list of decoder hidden states, where negative
    numbers count from the end; `logits` is how many of the last positions are kept."""

    layers: object = "all"
    logits: int = 2
    without: frozenset = frozenset()
    metadata: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Encoded:
    """A case as the model takes it."""

    prompt: str
    input_ids: torch.Tensor  # [T], before image expansion
    pixel_values: torch.Tensor = None  # [N, 3, H, W] float32
    labels: torch.Tensor = None  # [T]
    metadata: dict = dataclasses.field(default_factory=dict)
    inputs: dict = dataclasses.field(default_factory=dict)  # what the model itself wants, opaque here


@dataclasses.dataclass
class Outputs:
    """One forward pass over a whole prompt, without the batch dimension."""

    image_features: torch.Tensor  # [R, D] or None
    inputs_embeds: torch.Tensor  # [T', D]
    hidden: list  # of [T', D]; the last one is after the final norm
    logits: torch.Tensor  # [T', V]
    loss: torch.Tensor = None


# --- transformers' own LLaVA classes ------------------------------------------------------------


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


# --- the original package ----------------------------------------------------------------------


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


# --- transformers and peft, for adapter and projector folders ----------------------------------


class AdapterReference:
    """A LoRA or projector-only folder over a base (a transformers folder or a GGUF file), with the
    adapters *unmerged*. The language model, the tower and the adapters are the libraries'; the
    projector (a few torch layers) and the splice are here, because no library but the original has them."""

    def __init__(self, model_path, model_base, dtype):
        import transformers

        self.source = f"transformers {transformers.__version__}"
        self.dtype = DTYPES[dtype]
        self.path = pathlib.Path(model_path)
        self.config = read_json(self.path / "config.json")
        base = pathlib.Path(model_base)
        where = {"pretrained_model_name_or_path": str(base)}
        if base.suffix == ".gguf":
            where = {"pretrained_model_name_or_path": str(base.parent), "gguf_file": base.name}
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
        self.adds_begin_token = self._adds_begin_token(base)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(**where, **dtype_argument(self.dtype))
        adapter = (self.path / "adapter_config.json").exists()
        weights = self._plain_names(load_pickle(self.path / ("non_lora_trainables.bin" if adapter else "mm_projector.bin")))
        # A folder trained with start and end tokens brings its embedding table along.
        table = weights.get("model.embed_tokens.weight")
        if table is not None:
            self.model.get_input_embeddings().weight.data.copy_(table)
        self._match_vocabulary()
        self.lora = None
        if adapter:
            import peft

            self.source += f", peft {peft.__version__}"
            self.lora = "unmerged"
            # Newer versions would widen the adapters to float32 and compute beside a 16-bit base in it.
            keeps = "autocast_adapter_dtype" in inspect.signature(peft.PeftModel.from_pretrained).parameters
            options = {"autocast_adapter_dtype": False} if keeps else {}
            self.model = peft.PeftModel.from_pretrained(self.model, str(self.path), **options)
        self.model.to(self.dtype).eval()
        tower = self._find_tower()
        self.tower = transformers.CLIPVisionModel.from_pretrained(tower, **dtype_argument(self.dtype)).eval()
        self.image_processor = transformers.CLIPImageProcessor.from_pretrained(tower)
        self.projector = self._projector(weights).to(self.dtype)

    def _adds_begin_token(self, base):
        if base.suffix == ".gguf":
            # transformers 4 adds one to every GGUF vocabulary of the llama architecture; the file knows.
            import gguf

            reader = gguf.GGUFReader(str(base))
            field = reader.get_field("tokenizer.ggml.add_bos_token")
            if field is not None:
                return bool(field.contents())
            return reader.get_field("tokenizer.ggml.model").contents() == "llama"
        plain = self.tokenizer("a", add_special_tokens=False)["input_ids"]
        return len(self.tokenizer("a")["input_ids"]) > len(plain)

    def _match_vocabulary(self):
        names = []
        if self.config.get("mm_use_im_patch_token", True):
            names.append("<im_patch>")
        if self.config.get("mm_use_im_start_end", False):
            names += ["<im_start>", "<im_end>"]
        self.tokenizer.add_tokens(names, special_tokens=True)
        rows = self.model.get_input_embeddings().weight.shape[0]
        if len(self.tokenizer) > rows:
            raise UsageError(f"the tokenizer has {len(self.tokenizer)} tokens and the base {rows} rows: the rest would be random")
        self.model.resize_token_embeddings(len(self.tokenizer))

    @staticmethod
    def _plain_names(weights):
        weights = {key.removeprefix("base_model."): value for key, value in weights.items()}
        if any(key.startswith("model.model.") for key in weights):
            weights = {key.removeprefix("model."): value for key, value in weights.items()}
        return weights

    def _find_tower(self):
        name = self.config["mm_vision_tower"]
        places = [self.path / name, self.path.parent / name, pathlib.Path(name)]
        for place in places:
            if (place / "config.json").exists():
                return str(place)
        raise UsageError("vision tower not found, looked at " + ", ".join(str(place) for place in places))

    def _projector(self, weights):
        kind = self.config.get("mm_projector_type", "linear")
        weights = {
            key.split("mm_projector.", 1)[1]: value.float() for key, value in weights.items() if "mm_projector." in key
        }
        width, out = self.config["mm_hidden_size"], self.config["hidden_size"]
        if kind == "identity":
            return torch.nn.Identity()
        if kind == "linear":
            projector = torch.nn.Linear(width, out)
        else:
            depth = int(kind.removeprefix("mlp").removesuffix("x_gelu"))
            layers = [torch.nn.Linear(width, out)]
            for _ in range(depth - 1):
                layers += [torch.nn.GELU(), torch.nn.Linear(out, out)]
            projector = torch.nn.Sequential(*layers)
        projector.load_state_dict(weights)
        return projector.eval()

    def encode(self, case):
        if case.reply is not None:
            raise UsageError("--reply needs the original package: only its trainer defines the label mask")
        metadata, prompt = {}, case.prompt
        if prompt is None:
            mode = case.conv_mode or self.config.get("conv_mode")
            if mode not in FAMILY_TEMPLATES:
                raise UsageError(f"without the original package --conv-mode is one of {', '.join(FAMILY_TEMPLATES)}; or give --prompt")
            messages = case.messages
            if messages is None:
                query = case.query
                if case.images and "<image>" not in query:
                    query = "<image>\n" * len(case.images) + query
                messages = [["user", query]]
            prompt = FAMILY_TEMPLATES[mode](messages)
            metadata = {"messages": json.dumps(messages), "conv_mode": mode}
        ids = self._tokenize(prompt)
        pixel_values = None
        if case.images:
            ratio = case.image_aspect_ratio or self.config.get("image_aspect_ratio")
            if case.image_aspect_ratio is not None:
                metadata["image_aspect_ratio"] = case.image_aspect_ratio
            if ratio == "anyres":
                raise UsageError("anyres of the original layout needs the original package")
            pictures = [open_picture(path) for path in case.images]
            if ratio == "pad":
                colour = tuple(int(value * 255) for value in self.image_processor.image_mean)
                pictures = [pad_to_square(picture, colour) for picture in pictures]
            pixel_values = self.image_processor(pictures, return_tensors="pt")["pixel_values"]
        return Encoded(prompt, torch.tensor(ids, dtype=torch.int64), pixel_values, metadata=metadata)

    def _tokenize(self, prompt):
        """The original's rule, except that only a begin token which the tokenizer itself adds is left
        out of later chunks (a template may begin with that token's text while the tokenizer adds none)."""
        ids = [self.tokenizer.bos_token_id] if self.adds_begin_token else []
        for index, chunk in enumerate(prompt.split("<image>")):
            if index > 0:
                ids.append(IMAGE_SENTINEL)
            ids += self.tokenizer(chunk, add_special_tokens=False)["input_ids"]
        return ids

    def vision_hidden(self, encoded):
        return self.tower(encoded.pixel_values.to(self.dtype), output_hidden_states=True).hidden_states

    def _embed(self, encoded):
        table = self.model.get_input_embeddings()
        if encoded.pixel_values is None:
            return None, table(encoded.input_ids)
        selected = self.vision_hidden(encoded)[self.config["mm_vision_select_layer"]]
        if self.config.get("mm_vision_select_feature", "patch") == "patch":
            selected = selected[:, 1:]
        features = self.projector(selected.to(self.dtype))
        rows, start, picture = [], 0, 0
        for position in (encoded.input_ids == IMAGE_SENTINEL).nonzero()[:, 0].tolist():
            rows += [table(encoded.input_ids[start:position]), features[picture]]
            start, picture = position + 1, picture + 1
        rows.append(table(encoded.input_ids[start:]))
        return features.flatten(0, 1), torch.cat(rows)

    def forward(self, encoded):
        features, embeds = self._embed(encoded)
        out = self.model(inputs_embeds=embeds[None], output_hidden_states=True)
        hidden = [state[0] for state in out.hidden_states]
        return Outputs(features, embeds, hidden, out.logits[0])

    def generate(self, encoded, **arguments):
        _, embeds = self._embed(encoded)
        out = self.model.generate(
            inputs_embeds=embeds[None],
            attention_mask=torch.ones(1, embeds.shape[0], dtype=torch.int64),
            return_dict_in_generate=True,
            output_scores=True,
            **arguments,
        )
        return out, out.sequences.shape[1] - len(out.scores)  # older versions begin with a begin token


def render_vicuna_v1(messages):
    text = (
        "A chat between a curious user and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the user's questions. "
    )
    for role, content in messages:
        text += f"USER: {content} ASSISTANT:" if role == "user" else f" {content}</s>"
    return text


def render_qwen_1_5(messages):
    text = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    for role, content in messages:
        text += f"<|im_start|>{role}\n{content}<|im_end|>\n"
    return text + "<|im_start|>assistant\n"


FAMILY_TEMPLATES = {"vicuna_v1": render_vicuna_v1, "qwen_1_5": render_qwen_1_5}


# --- recording ----------------------------------------------------------------------------------

GREEDY = {
    "do_sample": False,
    "num_beams": 1,
    "repetition_penalty": 1.0,
    "temperature": None,
    "top_p": None,
    "top_k": None,
}


def continue_greedily(reference, encoded, max_new_tokens):
    """New ids, the end token included, and each step's best minus second-best logit."""
    out, skipped = reference.generate(encoded, max_new_tokens=max_new_tokens, **GREEDY)
    ids = out.sequences[0, skipped:]
    best = [score[0].float().topk(2).values for score in out.scores]
    return ids, [round(float(top[0] - top[1]), 5) for top in best[: len(ids)]]


@torch.inference_mode()
def record(reference, case, folder, options=Options()):
    """Computes a case and writes `folder`/<case.name>.safetensors; returns tensors and metadata."""
    folder = pathlib.Path(folder)
    encoded = reference.encode(case)
    tensors = {"input_ids": encoded.input_ids}
    metadata = {
        "format": FORMAT,
        "source": reference.source,
        "dtype": next(name for name, dtype in DTYPES.items() if dtype == reference.dtype),
        "prompt": encoded.prompt,
        **encoded.metadata,
        **options.metadata,
    }
    if reference.lora is not None:
        metadata.setdefault("lora", reference.lora)
    if case.images:
        metadata["images"] = json.dumps([os.path.relpath(path, folder) for path in case.images])
        tensors["pixel_values"] = encoded.pixel_values
        if "vision_hidden" not in options.without:
            for index, state in enumerate(reference.vision_hidden(encoded)):
                tensors[f"vision_hidden.{index}"] = state
    out = reference.forward(encoded)
    if out.image_features is not None:
        tensors["image_features"] = out.image_features
    tensors["inputs_embeds"] = out.inputs_embeds
    count = len(out.hidden)
    wanted = range(1, count) if options.layers == "all" else sorted({index % count for index in options.layers})
    for index in wanted:
        tensors[f"hidden.{index}"] = out.hidden[index]
    tensors["logits"] = out.logits[-min(options.logits, len(out.logits)) :]
    if case.reply is not None:
        tensors["labels"] = encoded.labels
        tensors["loss"] = out.loss
    elif case.max_new_tokens > 0:
        tensors["generated_ids"], margins = continue_greedily(reference, encoded, case.max_new_tokens)
        metadata["max_new_tokens"] = str(case.max_new_tokens)
        metadata["margins"] = json.dumps(margins)
        metadata["text"] = reference.tokenizer.decode(tensors["generated_ids"], skip_special_tokens=True)
    tensors = {
        name: (tensor.float() if tensor.is_floating_point() else tensor.long()).cpu().contiguous().clone()
        for name, tensor in tensors.items()
        if name not in options.without
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_bundle(folder / f"{case.name}.safetensors", tensors, metadata)
    return tensors, metadata


def write_bundle(path, tensors, metadata):
    """A safetensors file with everything in a fixed order, so that the same case is the same bytes."""
    header, data = {"__metadata__": dict(sorted(metadata.items()))}, b""
    for name, tensor in sorted(tensors.items()):
        raw = tensor.numpy().tobytes()
        kind = "F32" if tensor.is_floating_point() else "I64"
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


# --- small parts --------------------------------------------------------------------------------


def open_picture(path):
    """As the original and the processors' users open it: converted to RGB, EXIF orientation ignored."""
    return Image.open(path).convert("RGB")


def pad_to_square(picture, colour):
    width, height = picture.size
    side = max(width, height)
    canvas = Image.new(picture.mode, (side, side), colour)
    canvas.paste(picture, ((side - width) // 2, (side - height) // 2))
    return canvas


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


def transformers_version():
    import transformers

    return tuple(int(part) for part in transformers.__version__.split(".")[:2])


def dtype_argument(dtype):
    return {"dtype" if transformers_version() >= (4, 56) else "torch_dtype": dtype}


def package_version(names):
    from importlib import metadata

    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"


def load_pickle(path):
    return torch.load(path, map_location="cpu", weights_only=True)


def read_json(path):
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))


def open_reference(model_path, model_base=None, dtype="float32", lora=None, model_name=None):
    """Loads a checkpoint with the software that its contents call for (see the top of the file)."""
    path = pathlib.Path(model_path)
    if not (path / "config.json").exists():
        raise UsageError(f"{path}: no config.json; --model-path is a checkpoint folder")
    config = read_json(path / "config.json")
    if "text_config" in config:
        return HfReference(path, dtype)
    adapter = (path / "adapter_config.json").exists()
    if (adapter or (path / "mm_projector.bin").exists()) and model_base is None:
        raise UsageError(f"{path} holds only an adapter or a projector: give --model-base")
    if importlib.util.find_spec("llava") is not None and lora != "unmerged":
        return OriginalReference(path, model_base, dtype, model_name)
    if model_base is None:
        raise UsageError(f"{path} is in the original layout: run this where the `llava` package is installed")
    if lora == "merged":
        raise UsageError("--lora merged is the original package's rule: run this where `llava` is installed")
    return AdapterReference(path, model_base, dtype)


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
    parser.add_argument("--dtype", choices=list(DTYPES), default="float32", help="what to compute in")
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
    options = Options(
        layers=parse_layers(arguments.layers),
        logits=arguments.logits,
        without=frozenset(part for part in arguments.without.split(",") if part),
    )
    reference = open_reference(
        arguments.model_path, arguments.model_base, arguments.dtype, arguments.lora, arguments.model_name
    )
    if arguments.model_base is not None:
        options.metadata["model_base"] = os.path.relpath(arguments.model_base, arguments.output)
    for number, (images, query) in enumerate((images, query) for images in pictures for query in queries):
        stem = pathlib.Path(images[0]).stem if images else "text"
        case = Case(
            name=f"{number:02d}_{stem}",
            images=images,
            query=query,
            prompt=arguments.prompt,
            conv_mode=arguments.conv_mode,
            reply=arguments.reply,
            image_aspect_ratio=arguments.image_aspect_ratio,
            max_new_tokens=arguments.max_new_tokens,
        )
        tensors, metadata = record(reference, case, arguments.output, options)
        print(f"{arguments.output}/{case.name}.safetensors: {len(tensors)} tensors, {metadata.get('text', '')!r}")


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        print(f"make_reference: {error}", file=sys.stderr)
        sys.exit(2)
