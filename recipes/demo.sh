#!/usr/bin/env bash
# Every stage on a tiny Llama that is made on the spot: rows -> model -> GGUF -> an answer. No GPU, no hub; minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_WAIT_POLICY=passive
PYTHON=${PYTHON:-.venv/bin/python}
OUT=${OUT:-out/demo}
QUESTION="Write a Python function that adds two numbers."
step() { printf '\n== %s\n\n' "$*"; }

step "1. Rows: keep what teaches a language, drop the rest with a reason"
"$PYTHON" data/preprocess.py --input data/sample.json --output "$OUT/rows.json" --languages Python

step "2. Fine-tune every weight of tiny-llama (1.1 million parameters, random until now) until it knows the rows by heart"
"$PYTHON" finetune.py --base_model tiny-llama --method full --data_path "$OUT/rows.json" --output_dir "$OUT/model" \
  --prompt_template alpaca_short --learning_rate 4e-3 --warmup_steps 0.1 --lr_scheduler_type cosine \
  --batch_size 8 --micro_batch_size 8 --train_on_inputs false --max_steps "${STEPS:-600}" --val_set_size 0 --save_steps 1000 --overwrite_output_dir

step "3. Export to GGUF; the same greedy answer from transformers and from llama.cpp"
"$PYTHON" export_checkpoint.py --base_model "$OUT/model" --export_dir "$OUT/gguf" --checkpoint_type gguf \
  --quantization f32 --verify --instruction "$QUESTION"

step "4. Ask in the terminal"
"$PYTHON" generate.py --base_model "$OUT/model" --temperature 0 --instruction "$QUESTION"

step "The page: $PYTHON generate.py --base_model $OUT/model"
