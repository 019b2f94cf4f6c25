"""What only a CUDA device can show. Not yet run on one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from codetune.training import tiny

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def run(script, *arguments):
    ran = subprocess.run(
        [sys.executable, script, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return ran.stdout


@pytest.mark.parametrize("base_model", tiny.NAMES)
@pytest.mark.parametrize("bits", [8, 16])
def test_lora_trains_answers_and_exports_on_the_gpu(tmp_path, base_model, bits):
    if bits == 8:
        pytest.importorskip("bitsandbytes", reason="--bits 8 needs bitsandbytes")
    trained = run(
        "finetune.py", "--base_model", base_model, "--bits", bits, "--data_path", tiny.SAMPLE, "--batch_size", 16,
        "--max_steps", 20, "--learning_rate", 1e-2, "--lora_target_modules", "all-linear",
        "--output_dir", tmp_path / "a",
    )  # fmt: skip
    assert f"(cuda, {bits} bits, " in trained
    made = json.loads((tmp_path / "a" / "codetune.json").read_text())
    assert made["eval_loss"] < made["eval_loss_before"]
    run("generate.py", "--lora_weights", tmp_path / "a", "--instruction", "Add", "--max_new_tokens", 5)
    run("export_checkpoint.py", "--lora_weights", tmp_path / "a", "--export_dir", tmp_path / "hf")
