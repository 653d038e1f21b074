#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Computes attention.json: where greedy answers of llava-hf checkpoints looked, by transformers with
`output_attentions=True` and eager attention, float32.

    make_attention.py

Each entry has a prompt (`<image>` where pictures stand), its pictures, the answer's ids and, for each
of them, the probabilities of the position before it (the one whose logits chose it) over all tokens of
the pictures, mean over the heads: `layers` has one list for each layer, `rest` what the mean over the
layers leaves for the other tokens. Paths are relative to this folder.
"""
import json
import pathlib
import sys

import torch

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "scripts"))
import reference  # noqa: E402

USER = "USER: <image>\nWhat is it? ASSISTANT:"
CHATML = "<|im_start|>user\n<image>\nWhat?<|im_end|>\n<|im_start|>assistant\n"
CASES = [
    ("hf-llava", USER, ["landscape_96x64.jpg"]),
    ("hf-llava", "USER: <image>\n<image>\nWhich? ASSISTANT:", ["portrait_45x80.png", "square_28x28.png"]),
    ("hf-qwen2", CHATML, ["portrait_45x80.png"]),
    # A window of 12 positions, of which the last rows of the picture are some.
    ("hf-next-mistral", "USER: <image>", ["wide_150x13.png"]),
    ("hf-next-qwen2", CHATML, ["landscape_96x64.jpg"]),
]
MAX_NEW_TOKENS = 5


def rounded(values):
    return [float(f"{value:.8g}") for value in values.tolist()]


@torch.inference_mode()
def entry_of(name, prompt, images):
    loaded = reference.open_reference(HERE / "models" / name)
    loaded.model.set_attn_implementation("eager")
    encoded = loaded.encode(reference.Case(name="", images=[HERE / "images" / image for image in images], prompt=prompt))
    generated, begin = loaded.generate(
        encoded, max_new_tokens=MAX_NEW_TOKENS, do_sample=False, **{key: None for key in ("temperature", "top_p", "top_k")}
    )
    answer = generated.sequences[0, begin:]
    # The whole of it in one pass without a cache.
    inputs = dict(encoded.inputs)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], answer[None]], dim=1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    out = loaded.model(**inputs, output_attentions=True)
    is_picture = inputs["input_ids"][0] == loaded.image_token_id
    tokens = []
    for position in range(begin, inputs["input_ids"].shape[1]):
        # [layers, T], mean over the heads.
        rows = torch.stack([layer[0, :, position - 1].double().mean(0) for layer in out.attentions])
        assert torch.allclose(rows.sum(1), torch.ones(len(rows), dtype=rows.dtype), atol=1e-6)
        tokens.append(
            {
                "layers": [rounded(row[is_picture]) for row in rows],
                "rest": float(rows.mean(0)[~is_picture].sum()),
            }
        )
    return {
        "model": f"models/{name}",
        "prompt": prompt,
        "images": [f"images/{image}" for image in images],
        "source": loaded.source,
        "answer": answer.tolist(),
        "tokens": tokens,
    }


def main():
    torch.set_num_threads(1)
    text = json.dumps([entry_of(*case) for case in CASES], ensure_ascii=True)
    (HERE / "attention.json").write_text(text.replace('{"model"', '\n{"model"').replace('{"layers"', '\n {"layers"') + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
