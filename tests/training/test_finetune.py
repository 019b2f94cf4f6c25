"""finetune.py from the command line: the loss falls, kill -9 loses nothing, bad input is one sentence."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codetune.training import checkpoints, reports, tiny

ROOT = Path(__file__).resolve().parents[2]


def command(**flags):
    return [sys.executable, "finetune.py", *(f"--{name}={value}" for name, value in flags.items())]


def run(timeout=600, **flags):
    return subprocess.run(command(**flags), cwd=ROOT, capture_output=True, text=True, timeout=timeout)


def trained(**flags):
    ran = run(**flags)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return ran.stdout


def losses(folder):
    return [entry["loss"] for entry in reports.read_log(folder) if "loss" in entry]


def held_out(folder):
    return [entry["eval_loss"] for entry in reports.read_log(folder) if "eval_loss" in entry]


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """30 rows of the sample: whole runs in seconds."""
    path = tmp_path_factory.mktemp("rows") / "rows.json"
    path.write_text(json.dumps(json.loads(tiny.SAMPLE.read_text(encoding="utf-8"))[:30]))
    return path


@pytest.mark.slow
def test_a_third_of_the_loss_goes_in_sixty_steps_and_lora_lowers_it_further(data, tmp_path):
    rows = {"data_path": data / "code_alpaca_2k.json", "batch_size": 16, "micro_batch_size": 16, "val_set_size": 100}
    trained(
        base_model="tiny-llama", method="full", learning_rate=3e-3, max_steps=60, output_dir=tmp_path / "full", **rows
    )
    full = losses(tmp_path / "full")
    assert len(full) == 60 and sum(full[-5:]) / 5 < 2 / 3 * full[0]
    trained(base_model=tmp_path / "full", learning_rate=3e-3, max_steps=20, output_dir=tmp_path / "lora", **rows)
    before, after = held_out(tmp_path / "lora")
    assert before == pytest.approx(held_out(tmp_path / "full")[-1], abs=1e-5)  # what was saved is what was trained
    assert after < before
    asked = [
        sys.executable,
        "generate.py",
        "--lora_weights",
        tmp_path / "lora",
        "--instruction",
        "Add",
        "--max_new_tokens",
        "5",
    ]
    answer = subprocess.run(list(map(str, asked)), cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0 and "template alpaca" in answer.stdout


@pytest.mark.slow
@pytest.mark.parametrize("base_model, method", [("tiny-llama", "lora"), ("tiny-starcoder", "full")])
def test_a_run_that_was_killed_ends_as_one_that_was_not(sample, tmp_path, base_model, method):
    # tiny-starcoder has dropout: its random state must go on as well. 4 steps an epoch: the kill falls into the second.
    flags = {"base_model": base_model, "method": method, "data_path": sample, "batch_size": 8, "learning_rate": 3e-3}
    flags |= {"max_steps": 14, "save_steps": 3, "val_set_size": 4, "lora_dropout": 0.1}
    trained(output_dir=tmp_path / "whole", **flags)
    killed = subprocess.Popen(
        command(output_dir=tmp_path / "killed", **flags), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (tmp_path / "killed" / "checkpoint-6" / checkpoints.WHOLE).exists():
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed" / "codetune.json").exists()
    trained(output_dir=tmp_path / "killed", resume_from_checkpoint="auto", **flags)
    assert losses(tmp_path / "killed") == pytest.approx(losses(tmp_path / "whole"), abs=1e-6)
    name = "adapter_model.safetensors" if method == "lora" else "model.safetensors"
    assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_codeup_s_two_commands_run_as_they_were_typed(sample, tmp_path):
    """CodeUp's own spelling, with a local model and file, and sizes for thirty rows."""
    typed = (
        f"--base_model tiny-llama --data_path {sample} --output_dir {tmp_path}/codeup-peft-llama-2 --batch_size 8 "
        "--micro_batch_size 4 --num_epochs 1 --learning_rate 1e-4 --cutoff_len 512 --val_set_size 4 --lora_r 8 "
        "--lora_alpha 16 --lora_dropout 0.05 --lora_target_modules [q_proj,v_proj] --train_on_inputs --group_by_length"
    )
    ran = subprocess.run(
        [sys.executable, "finetune.py", *typed.split()], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0 and "always arranged by length" in ran.stdout, ran.stderr[-2000:]
    exported = subprocess.run(
        [
            *(sys.executable, "export_checkpoint.py", "--base_model=tiny-llama", "--checkpoint_type=hf"),
            *(f"--lora_weights={tmp_path}/codeup-peft-llama-2", f"--export_dir={tmp_path}/7b"),
            "--lora_target_modules=[q_proj,k_proj,v_proj,o_proj]",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert exported.returncode == 0 and (tmp_path / "7b" / "model.safetensors").is_file(), exported.stderr[-2000:]


@pytest.mark.slow
def test_eight_bits_train_and_merge_on_the_cpu_too(sample, tmp_path):
    pytest.importorskip("bitsandbytes", reason="--bits 8 needs bitsandbytes")
    flags = {"data_path": sample, "batch_size": 8, "max_steps": 4, "val_set_size": 4, "learning_rate": 1e-2}
    trained(base_model="tiny-llama", bits=8, output_dir=tmp_path / "adapter", lora_target_modules="all-linear", **flags)
    before, after = held_out(tmp_path / "adapter")
    assert after < before
    assert json.loads((tmp_path / "adapter" / "codetune.json").read_text())["bits"] == 8


def said(**flags):
    """The one sentence of a run that must fail before anything is written."""
    ran = run(timeout=120, **flags)
    assert ran.returncode == 1 and "Traceback" not in ran.stderr, ran.stderr
    return ran.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "flags, sentence",
    [
        ({"data_path": "nowhere.json"}, "no file nowhere.json"),
        ({"prompt_template": "alpca"}, "no template 'alpca' in templates/, did you mean alpaca?"),
        ({"base_model": "./nowhere"}, "no model folder ./nowhere"),
        ({"bits": 8, "method": "full"}, "8 bits cannot hold"),
        ({"bits": 3}, "--bits=3 is not one of 16, 8"),
        ({"val_set_size": 30}, "--val_set_size 30 must be a share below 1 or fewer rows than the 29"),
        ({"micro_batch_size": 9, "batch_size": 8}, "--micro_batch_size 9 must be from 1 to --batch_size 8"),
        ({"learning_rate": 0}, "--learning_rate 0.0 must be more than 0"),
        ({"batch_size": 0}, "--batch_size 0 must be more than 0"),
        ({"learning_rate": "nan"}, "--learning_rate=nan is not a finite number"),
        ({"cutoff_len": 20}, "none of the 30 rows fits --cutoff_len 20"),
        ({"cutoff_len": 4000}, "--cutoff_len 4000 is more than the model's 2048 positions"),
        ({"add_eos_token": "false"}, "would make a model that never stops"),
        ({"seed": -1}, "--seed -1 must be from 0"),
        ({"wandb_project": "p"}, "pip install wandb"),
    ],
)
def test_bad_input_is_one_sentence_before_any_work(sample, tmp_path, flags, sentence):
    if "wandb_project" in flags and shutil.which("wandb"):
        pytest.skip("wandb is installed here")
    out = tmp_path / "out"
    given = {"base_model": "tiny-llama", "data_path": sample, "output_dir": out, **flags}
    assert sentence in said(**given)
    assert not out.exists() or not list(out.iterdir())


def test_an_unknown_layer_is_named_before_training(sample, tmp_path):
    sentence = said(
        base_model="tiny-llama", data_path=sample, output_dir=tmp_path / "out", lora_target_modules="c_attn"
    )
    assert "no linear layer 'c_attn'" in sentence and "q_proj" in sentence


def test_an_output_folder_that_is_a_file_is_refused(sample, tmp_path):
    (tmp_path / "out").write_text("precious")
    sentence = said(base_model="tiny-llama", data_path=sample, output_dir=tmp_path / "out")
    assert "is a file, not a folder" in sentence and (tmp_path / "out").read_text() == "precious"


def test_labels_are_shown_and_nothing_is_trained(sample, tmp_path):
    shown = trained(
        base_model="tiny-llama", data_path=sample, show_labels=2, train_on_inputs="false", output_dir=tmp_path / "out"
    )
    assert shown.count("--- ") == 3 and "</s>\033[0m" in shown and "\033[1;32m" in shown
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_full_disk_is_one_sentence_and_the_last_good_checkpoint_stays(sample, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("no permission to mount a small disk")
    try:
        ran = run(
            base_model="tiny-llama", method="full", data_path=sample, batch_size=8, max_steps=40, save_steps=4,
            save_total_limit=100, val_set_size=0, output_dir=disk / "out", learning_rate=1e-3,
        )  # fmt: skip
        assert ran.returncode == 1 and "Traceback" not in ran.stderr, ran.stderr[-3000:]
        assert "no space left on the disk" in ran.stderr.strip().splitlines()[-1]
        assert len(checkpoints.whole(disk / "out")) >= 1
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
def test_resuming_a_finished_run_changes_nothing(sample, tmp_path):
    flags = {"base_model": "tiny-llama", "data_path": sample, "batch_size": 8, "max_steps": 4, "learning_rate": 1e-3}
    flags |= {"output_dir": tmp_path / "out", "val_set_size": 4, "lr_scheduler_type": "constant"}
    trained(**flags)
    before = (tmp_path / "out" / "adapter_model.safetensors").read_bytes()
    said = trained(resume_from_checkpoint="auto", **flags)
    assert "nothing is left to train" in said
    assert (tmp_path / "out" / "adapter_model.safetensors").read_bytes() == before
    assert len(losses(tmp_path / "out")) == 4


@pytest.mark.slow
def test_a_run_that_diverges_stops_and_saves_nothing(sample, tmp_path):
    flags = {"base_model": "tiny-llama", "data_path": sample, "batch_size": 8, "max_steps": 20, "warmup_steps": 0}
    sentence = said(learning_rate=1e20, output_dir=tmp_path / "out", val_set_size=0, **flags)
    assert "the run diverged; lower --learning_rate" in sentence
    assert not (tmp_path / "out" / "codetune.json").exists()


@pytest.mark.slow
def test_a_full_model_in_an_adapter_s_folder_replaces_it(sample, tmp_path):
    flags = {"base_model": "tiny-llama", "data_path": sample, "batch_size": 8, "max_steps": 2, "learning_rate": 1e-3}
    trained(output_dir=tmp_path / "out", **flags)
    trained(output_dir=tmp_path / "out", method="full", overwrite_output_dir=True, **flags)
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert "model.safetensors" in left and not {"adapter_config.json", "adapter_model.safetensors"} & left
    assert (tmp_path / "out" / "config.json").read_bytes() == (tiny.folder("tiny-llama") / "config.json").read_bytes()


@pytest.mark.slow
def test_one_step_learns_something(sample, tmp_path):
    """A warm-up that rounded up to one step would leave the only step a rate of 0, and an adapter of zeros."""
    flags = {"base_model": "tiny-llama", "data_path": sample, "batch_size": 8, "max_steps": 1, "val_set_size": 0}
    trained(output_dir=tmp_path / "out", **flags)


@pytest.mark.slow
def test_a_second_run_in_the_same_folder_at_the_same_time_is_refused(sample, tmp_path):
    flags = {"base_model": "tiny-llama", "data_path": sample, "batch_size": 8, "output_dir": tmp_path / "out"}
    first = subprocess.Popen(
        command(max_steps=2000, **flags), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (tmp_path / "out" / checkpoints.RUN).exists():
        assert first.poll() is None
        time.sleep(0.01)
    assert "another run is writing into" in said(max_steps=2, **flags)
    first.kill()
    first.wait()


def test_the_base_model_s_own_folder_is_not_overwritten(sample, tmp_path):
    shutil.copytree(tiny.folder("tiny-llama"), tmp_path / "base")
    assert "base model's own folder" in said(
        base_model=tmp_path / "base", data_path=sample, output_dir=tmp_path / "base"
    )
