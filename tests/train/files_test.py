# SPDX-License-Identifier: Apache-2.0
"""What `llava train` writes loads in transformers, PEFT and the original, and computes the same there; PEFT's adapters go on here.

usage: files_test.py PROGRAM      in an environment with llava-torch 1.2.2, transformers 4.37.2 and peft 0.10; exit status 77 without
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
    import peft
    import PIL.Image
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM
    import llava.conversation
    import llava.model.builder
    from llava.mm_utils import tokenizer_image_token
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

HERE = pathlib.Path(__file__).resolve().parent
RUNS = HERE / "runs"
PROGRAM = pathlib.Path(sys.argv[1]).resolve()
COMMON = {"model_name_or_path": "../../golden/models/base-vicuna", "vision_tower": "../../golden/models/towers/clip-28",
          "image_folder": "../../golden/images", "mm_projector_type": "mlp2x_gelu",
          "mm_vision_select_layer": -2, "mm_use_im_patch_token": False, "per_device_train_batch_size": 2, "max_steps": 3, "learning_rate": 1e-2,
          "save_strategy": "no", "logging_steps": 1, "model_max_length": 256, "version": "v1", "data_path": "train/data/mix.json",
          "skip_data_check": True, "report_to": "json", "threads": 2}


def train(output, **flags):
    command = [str(PROGRAM), "train", "--output_dir", str(output)]
    for name, value in (COMMON | flags).items():
        command += [f"--{name}", str(value)]
    result = subprocess.run(command, cwd=RUNS, capture_output=True, text=True)
    if result.returncode != 0:
        raise AssertionError(result.stderr)
    return [json.loads(line) for line in (output / "train_log.jsonl").read_text().splitlines()]


class Files(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.output = pathlib.Path(self.folder.name) / "llava-lora-run"
        os.chdir(RUNS)

    def tearDown(self):
        self.folder.cleanup()

    def test_peft_loads_adapters_and_goes_on_from_ours(self):
        train(self.output, lora_enable=True, lora_r=4, lora_alpha=8, lora_dropout=0.0)
        base = AutoModelForCausalLM.from_pretrained(COMMON["model_name_or_path"], torch_dtype=torch.float32)
        ids = torch.tensor([[1, 5, 17, 40, 9]])
        before = base(ids).logits
        model = peft.PeftModel.from_pretrained(base, self.output)
        after = model(ids).logits
        self.assertFalse(torch.allclose(before, after, atol=1e-4))
        merged = model.merge_and_unload()(ids).logits
        self.assertTrue(torch.allclose(after, merged, atol=1e-4))
        non_lora = torch.load(self.output / "non_lora_trainables.bin", weights_only=True)
        self.assertEqual(sorted(non_lora), sorted(f"base_model.model.model.mm_projector.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")))

    def test_we_go_on_from_adapters_of_peft(self):
        base = AutoModelForCausalLM.from_pretrained(COMMON["model_name_or_path"], torch_dtype=torch.float32)
        names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        model = peft.get_peft_model(base, peft.LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=names, task_type="CAUSAL_LM"))
        torch.manual_seed(3)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.05)
        theirs = pathlib.Path(self.folder.name) / "theirs"
        model.save_pretrained(theirs)
        fresh = train(self.output, lora_enable=True, lora_r=4, lora_alpha=8, lora_dropout=0.0, learning_rate=0.0)
        given = train(self.output.with_name("llava-lora-given"), lora_enable=True, lora_r=4, lora_alpha=8, lora_dropout=0.0, learning_rate=0.0,
                      lora_weight_path=theirs)
        self.assertNotEqual(fresh[0]["loss"], given[0]["loss"])
        # A rate of 0 gives back what was read.
        ours = load_file(self.output.with_name("llava-lora-given") / "adapter_model.safetensors")
        for name, tensor in load_file(theirs / "adapter_model.safetensors").items():
            self.assertTrue(torch.equal(ours[name], tensor), name)

    def test_the_original_answers_with_a_whole_model_of_ours(self):
        output = self.output.with_name("llava-full-run")
        train(output)
        self.check_in_the_original(output, None)

    def test_the_original_answers_with_a_projector_of_ours(self):
        output = self.output.with_name("llava-projector-run")
        train(output, version="plain", data_path="train/data/captions.json", tune_mm_mlp_adapter=True)
        self.check_in_the_original(output, COMMON["model_name_or_path"])

    def test_the_original_answers_with_adapters_of_ours(self):
        train(self.output, lora_enable=True, lora_r=4, lora_alpha=8, lora_dropout=0.0)
        self.check_in_the_original(self.output, COMMON["model_name_or_path"])

    def check_in_the_original(self, output, base):
        """The greedy answer of the original with this folder is ours."""
        tokenizer, model, processor, _ = llava.model.builder.load_pretrained_model(
            str(output), base, output.name, device="cpu", device_map="cpu", torch_dtype=torch.float32)
        model = model.float()
        model.get_vision_tower().float()
        conversation = llava.conversation.conv_templates["vicuna_v1"].copy()
        conversation.append_message(conversation.roles[0], "<image>\nwhat is this?")
        conversation.append_message(conversation.roles[1], None)
        ids = tokenizer_image_token(conversation.get_prompt(), tokenizer, return_tensors="pt").unsqueeze(0)
        picture = RUNS / "../../golden/images/square_28x28.png"
        pixels = processor.preprocess(PIL.Image.open(picture).convert("RGB"), return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            found = model.generate(ids, images=pixels, image_sizes=[(28, 28)], do_sample=False, max_new_tokens=8, use_cache=True)
        theirs = tokenizer.batch_decode(found, skip_special_tokens=True)[0].strip()
        command = [str(PROGRAM), "run", "--model-path", str(output), "--image-file", str(picture), "--query", "what is this?",
                   "--conv-mode", "vicuna_v1", "--temperature", "0", "--max-new-tokens", "8", "--dtype", "float32"]
        if base:
            command += ["--model-base", base]
        ours = subprocess.run(command, cwd=RUNS, capture_output=True, text=True)
        self.assertEqual(ours.returncode, 0, ours.stderr)
        self.assertEqual(ours.stdout.strip(), theirs)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
