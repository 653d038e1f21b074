# SPDX-License-Identifier: Apache-2.0
"""Every published training script, and every flag of the original's trainer, is understood by `llava train`.

usage: scripts_test.py PROGRAM

The models of the scripts are not here: a command that is understood ends with the first of them, and not with its flags.
"""

import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAM = pathlib.Path(sys.argv[1]).resolve()

# LLaVA 1.2.2, scripts/v1_5: what all of them have, and what each has of its own.
V15 = """--vision_tower openai/clip-vit-large-patch14-336 --mm_projector_type mlp2x_gelu --mm_vision_select_layer -2 --mm_use_im_start_end False
--mm_use_im_patch_token False --bf16 True --num_train_epochs 1 --per_device_eval_batch_size 4 --gradient_accumulation_steps 1
--evaluation_strategy no --save_strategy steps --save_total_limit 1 --weight_decay 0. --warmup_ratio 0.03 --lr_scheduler_type cosine
--logging_steps 1 --tf32 True --model_max_length 2048 --gradient_checkpointing True --dataloader_num_workers 4 --lazy_preprocess True
--report_to wandb"""
TUNE = """--version v1 --data_path ./playground/data/llava_v1_5_mix665k.json --image_folder ./playground/data --image_aspect_ratio pad
--group_by_modality_length True --per_device_train_batch_size 16 --save_steps 50000"""
VICUNA, LLAVA = "--model_name_or_path lmsys/vicuna-13b-v1.5", "--model_name_or_path liuhaotian/llava-v1.5-13b"
PROJECTOR = "--pretrain_mm_mlp_adapter ./checkpoints/llava-v1.5-13b-pretrain/mm_projector.bin"
ADAPTERS = "--lora_enable True --lora_r 128 --lora_alpha 256 --mm_projector_lr 2e-5 --learning_rate 2e-4"
ZERO2, ZERO3 = "--deepspeed ./scripts/zero2.json", "--deepspeed ./scripts/zero3.json"
# scripts/: the first LLaVA's.
LEGACY = """--vision_tower openai/clip-vit-large-patch14 --mm_vision_select_layer -2 --mm_use_im_start_end False --mm_use_im_patch_token False
--per_device_eval_batch_size 4 --evaluation_strategy no --save_strategy steps --save_total_limit 1 --weight_decay 0. --warmup_ratio 0.03
--lr_scheduler_type cosine --logging_steps 1 --model_max_length 2048 --gradient_checkpointing True --dataloader_num_workers 4
--lazy_preprocess True --report_to wandb --model_name_or_path ./checkpoints/vicuna-v1-3-7b"""
LEGACY_TUNE = f"""{ZERO2} {LEGACY} --version v1 --image_folder /path/to/coco/train2017 --bf16 True --tf32 True
--pretrain_mm_mlp_adapter ./checkpoints/llava-vicuna-v1-3-7b-pretrain/mm_projector.bin --output_dir ./checkpoints/llava-finetune
--per_device_train_batch_size 16 --gradient_accumulation_steps 1 --save_steps 50000 --learning_rate 2e-5"""
LEGACY_80K = f"{LEGACY_TUNE} --data_path ./playground/data/llava_instruct_80k.json --num_train_epochs 1"
SCRIPTS = {
    "v1_5/pretrain": f"""{ZERO2} {VICUNA} {V15} --version plain --data_path ./playground/data/LLaVA-Pretrain/blip_laion_cc_sbu_558k.json
        --image_folder ./playground/data/LLaVA-Pretrain/images --tune_mm_mlp_adapter True --output_dir ./checkpoints/llava-v1.5-13b-pretrain
        --per_device_train_batch_size 32 --save_steps 24000 --learning_rate 1e-3""",
    "v1_5/finetune": f"{ZERO3} {VICUNA} {V15} {TUNE} {PROJECTOR} --output_dir ./checkpoints/llava-v1.5-13b --learning_rate 2e-5",
    "v1_5/finetune_lora": f"{ADAPTERS} {ZERO3} {VICUNA} {V15} {TUNE} {PROJECTOR} --output_dir ./checkpoints/llava-v1.5-13b-lora",
    "v1_5/finetune_task": f"{ZERO3} {LLAVA} {V15} {TUNE} --output_dir ./checkpoints/llava-v1.5-13b-task --learning_rate 2e-5",
    "v1_5/finetune_task_lora": f"{ADAPTERS} {ZERO3} {LLAVA} {V15} {TUNE} --output_dir ./checkpoints/llava-v1.5-13b-task-lora",
    "pretrain": f"""{ZERO2} {LEGACY} --version plain --data_path /path/to/pretrain_data.json --image_folder /path/to/images
        --tune_mm_mlp_adapter True --bf16 True --tf32 True --output_dir ./checkpoints/llava-pretrain --num_train_epochs 1
        --per_device_train_batch_size 16 --gradient_accumulation_steps 1 --save_steps 24000 --learning_rate 2e-3""",
    "pretrain_xformers": f"""{ZERO2} {LEGACY} --version plain --data_path /path/to/pretrain_data.json --image_folder /path/to/images
        --tune_mm_mlp_adapter True --bf16 False --tf32 False --output_dir ./checkpoints/llava-pretrain --num_train_epochs 1
        --per_device_train_batch_size 4 --gradient_accumulation_steps 4 --save_steps 24000 --learning_rate 2e-3""",
    "finetune": LEGACY_80K,
    "finetune_full_schedule": f"{LEGACY_TUNE} --data_path ./playground/data/llava_instruct_158k.json --num_train_epochs 3",
    "finetune_lora": f"{LEGACY_80K} --lora_enable True",
    "finetune_qlora": f"{LEGACY_80K} --lora_enable True --bits 4",
    "finetune_sqa": f"{LEGACY_TUNE} --data_path /path/to/scienceqa/llava_train_QCM-LEA.json --num_train_epochs 12",
}
# Each flag of the trainer's three groups and of the library's that people set.
EVERY_FLAG = """--model_name_or_path none/here --version v1 --freeze_backbone False --tune_mm_mlp_adapter False --vision_tower openai/clip
--mm_vision_select_layer -2 --pretrain_mm_mlp_adapter p.bin --mm_projector_type mlp2x_gelu --mm_use_im_start_end False
--mm_use_im_patch_token False --mm_patch_merge_type flat --mm_vision_select_feature patch --data_path d.json --lazy_preprocess True
--is_multimodal True --image_folder i --image_aspect_ratio pad --cache_dir c --optim adamw_torch --remove_unused_columns False
--freeze_mm_mlp_adapter False --mpt_attn_impl triton --model_max_length 2048 --double_quant True --quant_type nf4 --bits 16
--lora_enable True --lora_r 64 --lora_alpha 16 --lora_dropout 0.05 --lora_weight_path  --lora_bias none --mm_projector_lr 2e-5
--group_by_modality_length True --output_dir out --num_train_epochs 1.5 --max_steps -1 --per_device_train_batch_size 8
--per_device_eval_batch_size 8 --gradient_accumulation_steps 1 --evaluation_strategy no --learning_rate 5e-5 --weight_decay 0.0
--adam_beta1 0.9 --adam_beta2 0.999 --adam_epsilon 1e-8 --max_grad_norm 1.0 --lr_scheduler_type linear --warmup_ratio 0.0 --warmup_steps 0
--logging_strategy steps --logging_steps 500 --logging_first_step False --logging_nan_inf_filter True --save_strategy steps --save_steps 500
--save_total_limit 3 --save_safetensors True --save_only_model False --bf16 True --fp16 False --tf32 True --gradient_checkpointing True
--dataloader_num_workers 0 --dataloader_pin_memory True --dataloader_drop_last False --dataloader_persistent_workers False --seed 42
--data_seed 1 --report_to none --run_name r --fsdp full_shard --fsdp_config f.json --fsdp_transformer_layer_cls_to_wrap LlamaDecoderLayer
--group_by_length False --local_rank -1 --ddp_find_unused_parameters False --ddp_timeout 1800 --full_determinism False --torch_compile False
--label_smoothing_factor 0.0 --ignore_data_skip False --resume_from_checkpoint """


class Scripts(unittest.TestCase):
    def command(self, text):
        """Exit status and messages in an empty folder; two spaces stand for an empty value."""
        words = ["" if word == "\0" else word for word in text.replace("  --", " \0 --").split()]
        with tempfile.TemporaryDirectory() as folder:
            environment = {"HOME": folder, "HF_HOME": folder, "PATH": "/usr/bin:/bin"}
            result = subprocess.run([str(PROGRAM), "train", *words], cwd=folder, env=environment, capture_output=True, text=True)
        return result.returncode, result.stderr

    def test_each_script_is_understood(self):
        for name, text in SCRIPTS.items():
            with self.subTest(name):
                status, messages = self.command(" ".join(text.split()))
                self.assertEqual(status, 3, messages)
                self.assertIn("--model-name-or-path", messages)

    def test_each_flag_is_understood(self):
        status, messages = self.command(EVERY_FLAG.replace("\n", " ").replace("--resume_from_checkpoint ", ""))
        self.assertEqual(status, 3, messages)
        self.assertIn("none/here", messages)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
