# SPDX-License-Identifier: Apache-2.0
"""Runs the published network in transformers, bfloat16, under the control of run: the commands of llama_driver.cc.

    torch_driver.py SHAPE threads=2         SHAPE as in make_models.py; weights are random
"""

import json
import sys
import time

import torch
import transformers
from make_models import SHAPES

STEPS = 8
BATCH_CONTEXT = 64
TOKENS_BEFORE_PICTURE = 5


def status_bytes(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(key))


def random_module(make):
    """A module in bfloat16 without its slow initialisation; norms are 1, all else small numbers."""
    with torch.device("meta"):
        module = make()
    module = module.to(torch.bfloat16).to_empty(device="cpu").eval()
    for name, value in module.named_parameters():
        if "norm" in name:
            value.data.fill_(1.0 if name.endswith("weight") else 0.0)
        else:
            value.data.uniform_(-0.035, 0.035)
    return module


class Driver:
    def __init__(self, shape_name):
        s = SHAPES[shape_name]
        config = transformers.LlamaConfig(
            vocab_size=s["vocabulary"], hidden_size=s["width"], intermediate_size=s["ffn"], num_hidden_layers=s["layers"],
            num_attention_heads=s["heads"], num_key_value_heads=s["kv_heads"], max_position_embeddings=4096)
        self.language = random_module(lambda: transformers.LlamaForCausalLM(config))
        # What is computed, not learned, has to be made again after the empty start.
        self.language.model.rotary_emb = type(self.language.model.rotary_emb)(config=config)
        vision = transformers.CLIPVisionConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=23,
                                               num_attention_heads=16, image_size=336, patch_size=14)
        self.vision = random_module(lambda: transformers.CLIPVisionModel(vision))
        self.vision.vision_model.embeddings.position_ids = torch.arange(577).expand(1, -1)
        self.projector = random_module(lambda: torch.nn.Sequential(
            torch.nn.Linear(1024, s["width"]), torch.nn.GELU(), torch.nn.Linear(s["width"], s["width"])))
        self.pixels = torch.randn(1, 3, 336, 336).to(torch.bfloat16)
        self.vocabulary = s["vocabulary"]

    def ids(self, rows, count):
        return torch.randint(self.vocabulary, (rows, count))

    def forward(self, cache, **inputs):
        out = self.language(past_key_values=cache, use_cache=True, logits_to_keep=1, **inputs)
        logits = out.logits[:, -1].float()
        if not torch.isfinite(logits).all():
            raise SystemExit("logits are not finite")
        return logits.argmax(dim=-1, keepdim=True)

    def prefill(self, count):
        start = time.monotonic()
        self.forward(transformers.DynamicCache(), input_ids=self.ids(1, count))
        return [1000 * (time.monotonic() - start)]

    def decode(self, rows, context):
        cache = transformers.DynamicCache()
        token = self.forward(cache, input_ids=self.ids(rows, context))
        times = []
        for _ in range(STEPS):
            start = time.monotonic()
            token = self.forward(cache, input_ids=token)
            times.append(1000 * (time.monotonic() - start))
        return times

    def encode(self):
        return self.projector(self.vision(self.pixels).last_hidden_state[:, 1:])

    def first_token(self, text_tokens):
        start = time.monotonic()
        embed = self.language.get_input_embeddings()
        before, after = self.ids(1, TOKENS_BEFORE_PICTURE), self.ids(1, text_tokens - TOKENS_BEFORE_PICTURE)
        rows = torch.cat([embed(before), self.encode(), embed(after)], dim=1)
        self.forward(transformers.DynamicCache(), inputs_embeds=rows)
        return [1000 * (time.monotonic() - start)]

    def run(self, command):
        name, _, size = command.partition(":")
        if name == "prefill":
            return {"ms": self.prefill(int(size))}
        if name == "decode":
            return {"ms": self.decode(1, int(size))}
        if name == "batch":
            return {"ms": self.decode(int(size), BATCH_CONTEXT)}
        if name == "encode":
            start = time.monotonic()
            self.encode()
            return {"ms": [1000 * (time.monotonic() - start)]}
        if name == "first_token":
            return {"ms": self.first_token(int(size))}
        if name == "memory":
            return {"bytes": status_bytes("VmRSS"), "peak_bytes": status_bytes("VmHWM")}
        return {"error": f"transformers is not measured on '{command}'"}


def main():
    options = dict(word.split("=", 1) for word in sys.argv[2:])
    torch.set_num_threads(int(options.get("threads", "2")))
    start = time.monotonic()
    driver = Driver(sys.argv[1])
    name = f"transformers {transformers.__version__}, torch {torch.__version__}, bfloat16"
    print(json.dumps({"program": name, "load_ms": 1000 * (time.monotonic() - start)}), flush=True)
    with torch.inference_mode():
        for line in sys.stdin:
            print(json.dumps(driver.run(line.strip())), flush=True)


if __name__ == "__main__":
    main()
