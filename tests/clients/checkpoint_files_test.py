#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""torch, transformers, PEFT and the original package read the checkpoints that we write.

usage: checkpoint_files_test.py PROGRAM ROOT     status 77 when the packages are not installed (scripts/setup --dev)
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import warnings
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", TRANSFORMERS_VERBOSITY="error")
warnings.filterwarnings("ignore")
try:
    import torch
    from llava.model import LlavaLlamaForCausalLM
    from llava.model.builder import load_pretrained_model
    from peft import PeftModel
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file
except ImportError as error:
    print(f"skipped: {error} (scripts/setup --dev)")
    sys.exit(77)

PROGRAM, ROOT = str(Path(sys.argv[1]).resolve()), Path(sys.argv[2]).resolve()
MODELS = ROOT / "tests/golden/models"
LORA, BASE = "llava-v1.5-lora-patterns", "base-vicuna"
IDS = torch.tensor([[1, 17, 300, 44, 5, 129, 88]])


def run(*arguments):
    environment = os.environ | {"LLAVA_THREADS": "2", "LLAVA_LOG": "warning"}
    done = subprocess.run([PROGRAM, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise AssertionError(f"{arguments}: {done.returncode}\n{done.stderr}")
    return done.stdout


def logits(model):
    with torch.no_grad():
        return model.float().eval()(input_ids=IDS).logits


class CheckpointFiles(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(MODELS)  # the original looks for a tower from where it runs

    def unmerged(self, adapter=MODELS / LORA):
        """The adapter beside its base, by PEFT, with what was trained besides."""
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(adapter)
        model = LlavaLlamaForCausalLM.from_pretrained(BASE, config=config, torch_dtype=torch.float32)
        return PeftModel.from_pretrained(model, str(adapter))

    def test_torch_loads_files_without_trusting_them(self):
        values = torch.randn(4, 6, generator=torch.Generator().manual_seed(3)) * 50
        dtypes = [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8]
        tensors = {f"model.mm_projector.{i}.weight": values.abs().to(dtype) for i, dtype in enumerate(dtypes)}
        tensors["model.mm_projector.scalar"] = torch.tensor(2.5)
        tensors["model.vision_resampler.empty"] = torch.zeros(0, 3)
        tensors["model.mm_projector.strided"] = values.t()
        torch.save(tensors | {"model.norm.weight": values}, self.folder / "pytorch_model.bin")
        run("extract-projector", "--model-path", self.folder, "--output", self.folder / "mm_projector.bin")
        for mmap in [False, True]:
            found = torch.load(self.folder / "mm_projector.bin", weights_only=True, mmap=mmap)
            self.assertIs(type(found), dict)
            self.assertEqual(set(found), set(tensors))
            for name, tensor in tensors.items():
                self.assertEqual(found[name].dtype, tensor.dtype)
                self.assertTrue(torch.equal(found[name], tensor), name)
                self.assertTrue(found[name].is_contiguous())
        twin = load_file(self.folder / "mm_projector.safetensors")
        self.assertTrue(all(torch.equal(twin[name], tensor) for name, tensor in tensors.items()))

    def merge(self, name, *flags, adapter=MODELS / LORA, base=BASE):
        output = self.folder / name
        run("merge-lora", "--model-path", adapter, "--model-base", base, "--save-model-path", output, *flags)
        return output

    def test_transformers_loads_merged_weights_with_the_logits_of_peft(self):
        # A base in float32 shows the merge itself, without the rounding of the weights.
        base = self.folder / "base"
        shutil.copytree(BASE, base)
        save_file({k: v.float() for k, v in load_file(base / "model.safetensors").items()}, base / "model.safetensors")
        expected = logits(self.unmerged())
        for flags in [(), ("--max-shard-bytes", "60000")]:
            output = self.merge(f"llava-{len(flags)}", *flags, base=base)
            self.assertEqual((output / "model.safetensors.index.json").exists(), bool(flags))
            model, report = LlavaLlamaForCausalLM.from_pretrained(
                output, torch_dtype=torch.float32, output_loading_info=True
            )
            self.assertEqual((report["missing_keys"], report["mismatched_keys"]), ([], []))
            torch.testing.assert_close(logits(model), expected, rtol=2e-5, atol=2e-5)

    def test_the_original_answers_as_after_its_own_merge(self):
        output = self.merge("llava-v1.5-merged", "--compat", "reference")
        _, ours, _, _ = load_pretrained_model(str(output), None, "llava-v1.5-merged", device_map="cpu", device="cpu")
        _, theirs, _, _ = load_pretrained_model(LORA, BASE, LORA, device_map="cpu", device="cpu")
        self.assertTrue(torch.equal(logits(ours), logits(theirs)))

    def test_the_hash_of_the_base_is_no_concern_of_peft(self):
        adapter = self.folder / "adapter"
        shutil.copytree(LORA, adapter)
        tensors = torch.load(adapter / "adapter_model.bin", weights_only=True)
        os.remove(adapter / "adapter_model.bin")
        save_file(tensors, adapter / "adapter_model.safetensors", {"format": "pt", "base_weights_sha256": "0" * 64})
        self.assertTrue(torch.equal(logits(self.unmerged(adapter)), logits(self.unmerged())))

    def test_consolidated_folders_load(self):
        output = self.folder / "llava-out"
        run("consolidate", "--src", "llava-v1.5-pad", "--dst", output)
        model = LlavaLlamaForCausalLM.from_pretrained(output, torch_dtype=torch.float16)
        source = LlavaLlamaForCausalLM.from_pretrained("llava-v1.5-pad", torch_dtype=torch.float16)
        self.assertTrue(torch.equal(logits(model), logits(source)))
        with safe_open(output / "model.safetensors", framework="pt") as file:
            self.assertEqual(file.metadata(), {"format": "pt"})
        self.assertEqual(json.loads((output / "config.json").read_text())["torch_dtype"], "float16")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
