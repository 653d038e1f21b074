# SPDX-License-Identifier: Apache-2.0
"""transformers and peft, for LoRA and projector-only folders."""
import inspect
import json
import pathlib

import torch

from reference.case import DTYPES, IMAGE_SENTINEL, Encoded, Outputs, UsageError
from reference.pictures import open_picture, pad_to_square
from reference.versions import dtype_argument


class AdapterReference:
    """A LoRA or projector-only folder over a base (a transformers folder or a GGUF file), with the
    adapters *unmerged*. The language model, the tower and the adapters are the libraries'; the
    projector (a few torch layers) and the splice are here, because no library but the original has them."""

    def __init__(self, model_path, model_base, dtype):
        import transformers

        self.source = f"transformers {transformers.__version__}"
        self.dtype = DTYPES[dtype]
        self.path = pathlib.Path(model_path)
        self.config = json.loads((self.path / "config.json").read_text(encoding="utf-8"))
        base = pathlib.Path(model_base)
        where = {"pretrained_model_name_or_path": str(base)}
        if base.suffix == ".gguf":
            where = {"pretrained_model_name_or_path": str(base.parent), "gguf_file": base.name}
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
        self.adds_begin_token = self._adds_begin_token(base)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(**where, **dtype_argument(self.dtype))
        adapter = (self.path / "adapter_config.json").exists()
        weights = self._plain_names(load_pickle(self.path / ("non_lora_trainables.bin" if adapter else "mm_projector.bin")))
        # What else was trained whole, norms or the embedding table of a folder with start and end tokens.
        names = self.model.state_dict().keys()
        self.model.load_state_dict({name: value for name, value in weights.items() if name in names}, strict=False)
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


def load_pickle(path):
    return torch.load(path, map_location="cpu", weights_only=True)
