# SPDX-License-Identifier: Apache-2.0
"""`llava train --stage contrastive` against transformers: the tower it writes, and the loss that it reports of it.

usage: contrastive_test.py PROGRAM      in an environment with torch, transformers and Pillow; exit status 77 without
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

os.environ["HF_HUB_OFFLINE"] = "1"
try:
    import PIL.Image
    import torch
    import torch.nn.functional as F
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer, CLIPImageProcessor, CLIPVisionModel
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

RUNS = pathlib.Path(__file__).resolve().parent / "runs"
DATA = RUNS / "train/data/captions.json"
PROGRAM = pathlib.Path(sys.argv[1]).resolve()
COMMON = {"stage": "contrastive", "model_name_or_path": "../../golden/models/base-vicuna",
          "vision_tower": "../../golden/models/towers/clip-28", "image_folder": "../../golden/images", "version": "plain",
          "data_path": DATA, "per_device_train_batch_size": 8, "per_device_eval_batch_size": 5, "learning_rate": 0.0, "max_steps": 2,
          "save_strategy": "no", "logging_steps": 1, "report_to": "json", "skip_data_check": True, "threads": 2}


def train(output, status=0, **flags):
    command = [str(PROGRAM), "train", "--output_dir", str(output)]
    for name, value in (COMMON | flags).items():
        command += [f"--{name}", str(value)]
    result = subprocess.run(command, cwd=RUNS, capture_output=True, text=True)
    if result.returncode != status:
        raise AssertionError(f"exit status {result.returncode}\n{result.stderr}")
    if status:
        return result.stderr
    return [json.loads(line) for line in (output / "train_log.jsonl").read_text().splitlines()]


class Reference:
    """A written folder in transformers, and the captions by the language model's embeddings."""

    def __init__(self, folder):
        self.tower = CLIPVisionModel.from_pretrained(folder).eval()
        self.processor = CLIPImageProcessor.from_pretrained(folder)
        self.head = load_file(folder / "contrastive_head.safetensors")
        self.table = AutoModelForCausalLM.from_pretrained(RUNS / "../../golden/models/base-vicuna").get_input_embeddings().weight.detach().float()
        self.tokenizer = AutoTokenizer.from_pretrained(RUNS / "../../golden/models/base-vicuna", use_fast=False)
        self.records = json.loads(DATA.read_text())

    def logits(self, pictures, captions):
        images = [PIL.Image.open(RUNS / "../../golden/images" / self.records[i]["image"]).convert("RGB") for i in pictures]
        with torch.no_grad():
            pooled = self.tower(self.processor(images, return_tensors="pt")["pixel_values"]).pooler_output
            means = torch.stack([self.table[self.tokenizer(text, add_special_tokens=False)["input_ids"]].mean(0) for text in captions])
            pictures = F.normalize(pooled @ self.head["visual_projection.weight"].T, dim=-1)
            texts = F.normalize(means @ self.head["text_projection.weight"].T, dim=-1)
            return self.head["logit_scale"].exp() * pictures @ texts.T + self.head.get("logit_bias", torch.zeros(1))

    def caption(self, i):
        return self.records[i]["conversations"][1]["value"]

    def loss(self, samples, name):
        texts = [self.caption(i) for i in samples]
        logits = self.logits(samples, texts)
        pairs = torch.tensor([[a == b for b in texts] for a in texts]).float()
        if name == "siglip":
            return (-F.logsigmoid((2 * pairs - 1) * logits).sum() / len(samples)).item()
        share = pairs / pairs.sum(1, keepdim=True)
        return ((F.cross_entropy(logits, share) + F.cross_entropy(logits.T, share)) / 2).item()


class Contrastive(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.output = pathlib.Path(folder.name) / "tower"

    def test_transformers_computes_the_same_loss_with_the_same_tower(self):
        for name in ("clip", "siglip"):
            with self.subTest(loss=name):
                output = self.output.with_name(name)
                log = train(output, contrastive_loss=name, evaluation_strategy="steps", eval_steps=1, eval_data_path=DATA)
                reference = Reference(output)
                steps = [line for line in log if "micro_losses" in line]
                self.assertEqual(len(steps), 2)
                for step in steps:
                    expected = reference.loss(step["samples"], name)
                    self.assertAlmostEqual(step["micro_losses"][0], expected, delta=1e-5 * expected)
                texts = list(dict.fromkeys(reference.caption(i) for i in range(len(reference.records))))
                logits = reference.logits(range(len(reference.records)), texts)
                own = torch.tensor([texts.index(reference.caption(i)) for i in range(len(reference.records))])
                found = next(line for line in log if "eval_loss" in line)
                self.assertAlmostEqual(found["eval_loss"], F.cross_entropy(logits, own).item(), delta=1e-4)
                self.assertAlmostEqual(found["eval_accuracy"], (logits.argmax(1) == own).float().mean().item(), delta=1e-6)

    def test_a_new_tower_has_the_deviations_of_the_published_class(self):
        # Wide enough that each matrix says its deviation within a few per cent.
        source = self.output.with_name("source")
        source.mkdir()
        config = json.loads((RUNS / "../../golden/models/towers/clip-28/config.json").read_text())
        config = config.get("vision_config", config) | {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 3, "num_attention_heads": 2}
        (source / "config.json").write_text(json.dumps(config))
        (source / "preprocessor_config.json").write_text((RUNS / "../../golden/models/towers/clip-28/preprocessor_config.json").read_text())
        train(self.output, vision_tower=source, max_steps=1)
        ours = load_file(self.output / "model.safetensors")
        theirs = CLIPVisionModel(CLIPVisionModel.config_class.from_pretrained(self.output)).state_dict()
        for name, value in ours.items():
            with self.subTest(name=name):
                expected = theirs[name]
                self.assertEqual(value.shape, expected.shape)
                if value.dim() == 1 and "class_embedding" not in name:
                    self.assertTrue(torch.equal(value, expected))
                elif value.numel() > 4000:
                    self.assertAlmostEqual(value.std().item() / expected.std().item(), 1, delta=0.05)

    def test_pictures_and_captions_come_together(self):
        log = train(self.output, learning_rate=1e-3, max_steps=30, augment_flip=False, logging_steps=10)
        losses = [line["loss"] for line in log if "micro_losses" in line]
        self.assertLess(losses[-1], 0.7 * losses[0])

    def test_flags_of_other_stages_are_refused(self):
        for flags, part in (({"lora_enable": True}, "--lora-enable"), ({"gradient_accumulation_steps": 2}, "--gradient-accumulation-steps"),
                            ({"fp16": True}, "--fp16"), ({"stage": "llava", "augment_flip": True}, "--augment-flip"),
                            ({"vision_tower": ""}, "--vision-tower")):
            self.assertIn(part, train(self.output, status=2, **flags))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
