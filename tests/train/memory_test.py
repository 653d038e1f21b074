# SPDX-License-Identifier: Apache-2.0
"""The memory that `llava train` says a run will take is what it takes, within a tenth.

usage: memory_test.py PROGRAM [CASE...]

The language model has the shape of SmolLM2-135M and random weights, large enough for its parts to matter.
"""

import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
RUNS = HERE / "runs"
PROGRAM = pathlib.Path(sys.argv[1]).resolve()
sys.path.insert(0, str(HERE.parents[1] / "scripts"))

import make_random_checkpoint as checkpoint  # noqa: E402

SHAPE = {"hidden": 576, "ffn": 1536, "layers": 30, "heads": 9, "kv_heads": 3, "vocab": 49152}
COMMON = {"vision_tower": RUNS / "../../golden/models/towers/clip-28", "image_folder": RUNS / "../../golden/images", "mm_projector_type": "mlp2x_gelu", "mm_vision_select_layer": -2,
          "mm_use_im_patch_token": False, "save_strategy": "no", "logging_steps": 1, "learning_rate": 1e-4, "threads": 2,
          "model_max_length": 1024, "report_to": "none", "version": "v1", "max_steps": 2, "disable_tqdm": True}
LORA = {"lora_enable": True, "lora_r": 16}
STAGE1 = {"version": "plain", "tune_mm_mlp_adapter": True}
CASES = {
    "full": ("F32", {"per_device_train_batch_size": 4}),
    "full_accumulated": ("F32", {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}),
    "full_bf16": ("BF16", {"per_device_train_batch_size": 8, "bf16": True}),
    "full_bf16_checkpointing": ("BF16", {"per_device_train_batch_size": 8, "bf16": True, "gradient_checkpointing": True}),
    "stage1": ("F32", STAGE1 | {"per_device_train_batch_size": 8}),
    "stage1_converted": ("BF16", STAGE1 | {"per_device_train_batch_size": 1}),
    "lora": ("F32", LORA | {"per_device_train_batch_size": 8}),
    "lora_bf16": ("BF16", LORA | {"per_device_train_batch_size": 8, "bf16": True}),
    "lora_checkpointing": ("F32", LORA | {"per_device_train_batch_size": 8, "gradient_checkpointing": True}),
    "lora_4_bits": ("BF16", LORA | {"per_device_train_batch_size": 4, "bf16": True, "bits": 4}),
}


def make_base(folder, dtype):
    folder.mkdir()
    for name in ("special_tokens_map.json", "tokenizer.model", "tokenizer_config.json"):
        shutil.copy(RUNS / "../../golden/models/base-vicuna" / name, folder / name)
    config = json.loads((RUNS / "../../golden/models/base-vicuna/config.json").read_text())
    config |= {"hidden_size": SHAPE["hidden"], "intermediate_size": SHAPE["ffn"], "num_hidden_layers": SHAPE["layers"],
               "num_attention_heads": SHAPE["heads"], "num_key_value_heads": SHAPE["kv_heads"], "vocab_size": SHAPE["vocab"],
               "tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = [(name, shape) for name, shape in checkpoint.decoder_tensors(SHAPE) if "mm_projector" not in name and name != "lm_head.weight"]
    checkpoint.write_safetensors(folder / "model.safetensors", tensors, dtype, 1)


def make_data(path, is_captions):
    chance = random.Random(3)
    pictures = sorted(picture.name for picture in (RUNS / "../../golden/images").iterdir())
    samples = []
    for i in range(32):
        text = " ".join(chance.choice("a red the blue of circle square shape is what this".split()) for _ in range(chance.randint(40, 120)))
        question, answer = ("what?", text) if is_captions else (text + "?", "blue circle.")
        samples.append({"id": str(i), "image": pictures[i % len(pictures)],
                        "conversations": [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": answer}]})
    path.write_text(json.dumps(samples))


class MemoryPlan(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        for dtype in ("F32", "BF16"):
            make_base(cls.folder / dtype, dtype)
        make_data(cls.folder / "chat.json", False)
        make_data(cls.folder / "captions.json", True)

    def check(self, name):
        dtype, flags = CASES[name]
        data = self.folder / ("captions.json" if flags.get("version") == "plain" else "chat.json")
        flags = COMMON | {"model_name_or_path": self.folder / dtype, "data_path": data, "output_dir": self.folder / name} | flags
        command = [str(PROGRAM), "train"] + [str(word) for flag, value in flags.items() for word in (f"--{flag}", value)]
        with open(self.folder / "log", "w+") as log:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env=os.environ | {"LLAVA_LOG": "info"})
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            log.seek(0)
            text = log.read()
        self.assertEqual(process.returncode, 0, text)
        planned = int(re.search(r"memory_plan.*?mib=\"?(\d+)", text).group(1))
        taken = usage.ru_maxrss / 1024
        print(f"{name}: planned {planned} MiB, taken {taken:.0f}: {planned / taken - 1:+.1%}  {re.search('memory_plan.*', text).group(0)}", flush=True)
        self.assertLess(abs(planned / taken - 1), 0.1)


for case in sys.argv[2:] or CASES:
    setattr(MemoryPlan, f"test_{case}", lambda self, name=case: self.check(name))

if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
