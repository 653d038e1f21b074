# SPDX-License-Identifier: Apache-2.0
"""Trains with transformers and PEFT for bench/compare/train, and makes the models and data that both programs train.

    train_driver.py make FOLDER                    a language model in the shape of SmolLM2-135M, a tower in that of
                                                   CLIP ViT-B/16, both of random numbers, and data of equal lengths
    train_driver.py run FOLDER CASE TYPE SAMPLES   TYPE: fp32 or bf16; SAMPLES: the samples of each step, as JSON; prints a
                                                   JSON object: losses, seconds of each step, peak memory

The data are made so that a sample has 256 tokens of which 56 are trained; pictures take 196 of them.
"""

import json
import pathlib
import resource
import sys
import time

import torch

TOKENS, LABELS, BATCH, PICTURE_TOKENS = 256, 56, 8, 196
LEARNING_RATE = 1e-4
RANK, ALPHA = 16, 32
SYSTEM = ("A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite "
          "answers to the user's questions.")
LANGUAGE = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 49152, "hidden_size": 576,
            "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
            "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "bos_token_id": 1,
            "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": True, "torch_dtype": "float32"}
TOWER = {"architectures": ["CLIPVisionModel"], "model_type": "clip_vision_model", "hidden_size": 768, "intermediate_size": 3072,
         "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 224, "patch_size": 16, "hidden_act": "quick_gelu"}


def tokenizer(folder):
    import sentencepiece
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "language/tokenizer.model"))


def random_state(state, seed):
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, value in state.items():
        if "norm" in name or "layrnorm" in name:
            made[name] = torch.full(value.shape, 1.0 if name.endswith("weight") else 0.0)
        else:
            made[name] = torch.randn(value.shape, generator=generator) * 0.02
    return made


def make_models(folder):
    from safetensors.torch import save_file
    from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM
    for name, config, model, seed in (("language", LANGUAGE, LlamaForCausalLM, 1), ("tower", TOWER, CLIPVisionModel, 2)):
        kind = LlamaConfig if name == "language" else CLIPVisionConfig
        with torch.device("meta"):
            state = model(kind(**config)).state_dict()
        state.pop("lm_head.weight", None)
        state = {key: value for key, value in random_state(state, seed).items() if not key.endswith("position_ids")}
        if name == "tower":
            state = {key if key.startswith("vision_model.") else f"vision_model.{key}": value for key, value in state.items()}
        save_file(state, folder / name / "model.safetensors", metadata={"format": "pt"})
        (folder / name / "config.json").write_text(json.dumps(config, indent=1))
    (folder / "tower/preprocessor_config.json").write_text(json.dumps({
        "crop_size": 224, "do_center_crop": True, "do_normalize": True, "do_resize": True, "feature_extractor_type":
        "CLIPFeatureExtractor", "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3, "size": 224}))
    generator = torch.Generator().manual_seed(3)
    width, channels = LANGUAGE["hidden_size"], TOWER["hidden_size"]
    projector = {"0.weight": (width, channels), "0.bias": (width,), "2.weight": (width, width), "2.bias": (width,)}
    save_file({f"model.mm_projector.{name}": torch.randn(shape, generator=generator) * 0.03 for name, shape in projector.items()},
              folder / "mm_projector.safetensors", metadata={"format": "pt"})


def make_adapter(folder):
    """The adapters that PEFT starts with: both programs start with them."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM
    torch.manual_seed(4)
    model = LlamaForCausalLM.from_pretrained(folder / "language", dtype=torch.float32)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, bias="none", target_modules=targets, task_type="CAUSAL_LM")
    get_peft_model(model, config).save_pretrained(folder / "adapter")


def make_data(folder):
    from PIL import Image
    sp = tokenizer(folder)
    words = [sp.id_to_piece(i)[1:] for i in range(sp.get_piece_size())]
    words = [w for w in words if w.isalpha() and w.islower() and sp.encode(f"a {w}", out_type=str)[1:] == ["\u2581" + w]]
    generator = torch.Generator().manual_seed(5)

    def text(count):
        return " ".join(words[i] for i in torch.randint(len(words), (count,), generator=generator))

    fixed = 1 + len(sp.encode(f"{SYSTEM} USER: a ASSISTANT:")) - 1
    chat, captions = [], []
    for i in range(4 * BATCH):
        chat.append({"id": str(i), "conversations": [{"from": "human", "value": text(TOKENS - LABELS - fixed)},
                                                     {"from": "gpt", "value": text(LABELS - 1)}]})
        name = f"{i}.png"
        pixels = torch.randint(256, (8, 8, 3), generator=generator, dtype=torch.uint8)
        Image.frombytes("RGB", (8, 8), bytes(pixels.flatten().tolist())).resize((224, 224), Image.BICUBIC).save(folder / "images" / name)
        captions.append({"id": str(i), "image": name, "conversations": [{"from": "human", "value": "<image>"},
                                                                       {"from": "gpt", "value": text(TOKENS - PICTURE_TOKENS - 2)}]})
    (folder / "chat.json").write_text(json.dumps(chat))
    (folder / "captions.json").write_text(json.dumps(captions))


def make(folder):
    for name in ("language", "tower", "images"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    golden = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/models/base-vicuna"
    for name in ("tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / "language" / name).write_bytes((golden / name).read_bytes())
    make_models(folder)
    make_adapter(folder)
    make_data(folder)


def chat_batch(folder, samples):
    sp = tokenizer(folder)
    ids, labels = [], []
    for sample in samples:
        question, answer = (turn["value"] for turn in sample["conversations"])
        prompt = f"{SYSTEM} USER: {question} ASSISTANT:"
        row = [1, *sp.encode(f"{prompt} {answer}"), 2]
        begin = 1 + len(sp.encode(prompt))
        ids.append(row)
        labels.append([-100] * begin + row[begin:])
        assert len(row) == TOKENS and len(row) - begin == LABELS, (len(row), len(row) - begin)
    return torch.tensor(ids), torch.tensor(labels)


def pixels_of(folder, samples):
    from PIL import Image
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    images = []
    for sample in samples:
        data = Image.open(folder / "images" / sample["image"]).convert("RGB").tobytes()
        pixels = torch.frombuffer(bytearray(data), dtype=torch.uint8).view(224, 224, 3).permute(2, 0, 1).float() / 255
        images.append((pixels - mean) / deviation)
    return torch.stack(images)


class Training:
    """The published steps of a case: one loss function, the parameters that are trained."""

    def __init__(self, folder, case, dtype):
        from transformers import LlamaForCausalLM
        self.folder, self.case = folder, case
        is_full = case == "full"
        # A whole model is trained in float32 with bfloat16 products, as the library's trainer does it.
        self.autocast = dtype == torch.bfloat16 and is_full
        self.model = LlamaForCausalLM.from_pretrained(folder / "language", dtype=torch.float32 if is_full else dtype)
        self.model.config.use_cache = False
        if case == "lora":
            from peft import PeftModel
            self.model = PeftModel.from_pretrained(self.model, folder / "adapter", is_trainable=True)
        if case == "stage1":
            from safetensors.torch import load_file
            from transformers import CLIPVisionModel
            self.model.requires_grad_(False)
            self.tower = CLIPVisionModel.from_pretrained(folder / "tower", dtype=dtype).requires_grad_(False)
            width = LANGUAGE["hidden_size"]
            self.projector = torch.nn.Sequential(torch.nn.Linear(TOWER["hidden_size"], width), torch.nn.GELU(),
                                                 torch.nn.Linear(width, width))
            saved = load_file(folder / "mm_projector.safetensors")
            self.projector.load_state_dict({key.removeprefix("model.mm_projector."): value for key, value in saved.items()})
            self.projector.to(dtype)
            self.trained = list(self.projector.parameters())
        else:
            self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=LEARNING_RATE, weight_decay=0.0, fused=True)
        self.dtype = dtype

    def batch(self, samples):
        if self.case != "stage1":
            ids, labels = chat_batch(self.folder, samples)
            return {"input_ids": ids, "labels": labels}
        sp = tokenizer(self.folder)
        captions = [[*sp.encode(sample["conversations"][1]["value"] + "\n")] for sample in samples]
        return {"pixels": pixels_of(self.folder, samples).to(self.dtype), "captions": torch.tensor(captions)}

    def loss(self, batch):
        if self.case != "stage1":
            return self.model(**batch).loss
        with torch.no_grad():
            features = self.tower(batch["pixels"], output_hidden_states=True).hidden_states[-2][:, 1:]
        pictures = self.projector(features)
        embed = self.model.get_input_embeddings()
        count = len(batch["captions"])
        first = embed(torch.full((count, 1), 1))
        embeddings = torch.cat([first, pictures, embed(batch["captions"])], dim=1)
        ignored = torch.full((count, 1 + PICTURE_TOKENS), -100)
        return self.model(inputs_embeds=embeddings, labels=torch.cat([ignored, batch["captions"]], dim=1)).loss

    def step(self, batch):
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.autocast):
            loss = self.loss(batch)
        loss.backward()
        self.optimizer.step()
        return loss.item()


def run(folder, case, dtype, steps):
    """`steps`: indices of the samples of each step."""
    torch.set_num_threads(2)
    training = Training(folder, case, dtype)
    samples = json.loads((folder / ("captions.json" if case == "stage1" else "chat.json")).read_text())
    batches = [training.batch([samples[i] for i in indices]) for indices in steps]
    losses, seconds = [], []
    for batch in batches:
        begin = time.monotonic()
        losses.append(training.step(batch))
        seconds.append(time.monotonic() - begin)
    print(json.dumps({"losses": losses, "seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    place = pathlib.Path(sys.argv[2])
    if sys.argv[1] == "make":
        make(place)
    else:
        run(place, sys.argv[3], {"fp32": torch.float32, "bf16": torch.bfloat16}[sys.argv[4]], json.loads(sys.argv[5]))
