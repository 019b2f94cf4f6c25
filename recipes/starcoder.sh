#!/usr/bin/env bash
# StarCoder 15.5B on instructions: LoRA on 8-bit weights, one 40 GB GPU (the weights alone take some 16 GB in 8 bits).
# Needs: CUDA, bitsandbytes, `hf auth login` for the gated weights. Not yet measured on a GPU in this project.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
"$PYTHON" finetune.py --base_model bigcode/starcoder --data_path "${DATA:-data/codeup_19k.json}" \
  --output_dir "${OUT:-out/codeup-starcoder}" --bits 8 --batch_size 128 --micro_batch_size 2 --num_epochs 3 \
  --learning_rate 1e-4 --cutoff_len 512 --lora_r 16 --lora_alpha 32 --lora_dropout 0.05 \
  --lora_target_modules c_attn,c_proj,c_fc --gradient_checkpointing --resume_from_checkpoint auto "$@"
