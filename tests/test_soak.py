"""What takes long: many kills, many rows. `make soak` runs it before a release; its figures go into EXPERIMENTS.md."""

import json
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codetune.training import tiny

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.soak


def test_a_run_killed_at_random_moments_ends_with_the_same_weights(tmp_path):
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps(json.loads(tiny.SAMPLE.read_text(encoding="utf-8"))[:60]))
    command = [
        *(sys.executable, "finetune.py", "--base_model=tiny-starcoder", "--method=full", f"--data_path={rows}"),
        *("--batch_size=8", "--max_steps=120", "--save_steps=4", "--val_set_size=8", "--learning_rate=1e-3"),
    ]
    quiet = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*command, f"--output_dir={tmp_path}/whole"], check=True, **quiet)
    rng, kills = random.Random(0), 0
    while True:
        run = subprocess.Popen([*command, f"--output_dir={tmp_path}/killed", "--resume_from_checkpoint=auto"], **quiet)
        try:
            assert run.wait(timeout=rng.uniform(9, 15)) == 0
            break
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            run.wait()
            kills += 1
            assert kills < 60
    print(f"killed {kills} times")
    assert kills > 0
    whole, killed = (tmp_path / name / "model.safetensors" for name in ("whole", "killed"))
    assert whole.read_bytes() == killed.read_bytes()


def test_two_hundred_thousand_rows_are_filtered(data, tmp_path):
    rows = json.loads((data / "code_alpaca_20k.json").read_text(encoding="utf-8"))
    many = tmp_path / "many.jsonl"
    with many.open("w") as file:
        for copy in range(10):
            file.writelines(json.dumps({**row, "input": f"{row['input']}{' ' * copy}"}) + "\n" for row in rows)
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "data/preprocess.py", "--input", many, "--output", tmp_path / "rows.json"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{10 * len(rows):,} rows in {seconds:.1f} s, {peak:.0f} MB")
    counts = json.loads((tmp_path / "rows.counts.json").read_text())
    assert counts["reasons"]["exact duplicate"] > 100_000  # they differ in spaces at the end alone
    assert peak < 3000
