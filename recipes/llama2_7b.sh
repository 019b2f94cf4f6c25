#!/usr/bin/env bash
# CodeUp's reference run: Llama 2 7B, LoRA on 8-bit weights, one 24 GB GPU (published: 11 hours on an RTX 3090 for 10 epochs).
# Needs: CUDA, bitsandbytes, `hf auth login` for the gated weights, data/codeup_19k.json made by data/preprocess.py.
# Not yet measured on a GPU in this project.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
"$PYTHON" finetune.py --base_model meta-llama/Llama-2-7b-hf --data_path "${DATA:-data/codeup_19k.json}" \
  --output_dir "${OUT:-out/codeup-llama-2-7b}" --bits 8 --batch_size 128 --micro_batch_size 16 --num_epochs 10 \
  --learning_rate 3e-4 --cutoff_len 512 --val_set_size 2000 --lora_r 16 --lora_alpha 16 --lora_dropout 0.05 \
  --lora_target_modules q_proj,k_proj,v_proj,o_proj --resume_from_checkpoint auto "$@"
