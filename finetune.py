"""Rows of instructions in, an adapter (or a tuned model) out."""

import dataclasses
import importlib.util
import os
from pathlib import Path
from typing import Literal

from codetune import cli, files

ALIASES = {
    "model_path": "base_model",
    "model_name_or_path": "base_model",
    "dataset_name": "data_path",
    "prompt_template_name": "prompt_template",
    "seq_length": "cutoff_len",
    "max_seq_length": "cutoff_len",
    "test_size": "val_set_size",
    "num_train_epochs": "num_epochs",
    "per_device_train_batch_size": "micro_batch_size",
    "use_peft_lora": {True: ("method", "lora"), False: ("method", "full")},
    "load_8bit": {True: ("bits", "8"), False: ("bits", "16")},
    "use_8bit_quantization": {True: ("bits", "8"), False: ("bits", "16")},
    "use_4bit_quantization": {True: ("bits", "4")},
    "use_4bit_qunatization": {True: ("bits", "4")},  # Personal Copilot's spelling
}
DEFAULT_HELD_OUT, MOST_HELD_OUT = 2000, 0.05  # rows, and the share of them that nobody has to ask for
DEFAULT_MICRO_BATCH = 4
POSITIVE = (
    "batch_size", "cutoff_len", "eval_steps", "save_steps", "save_total_limit", "max_steps", "num_epochs",
    "learning_rate", "lora_r", "lora_alpha",
)  # fmt: skip
# The flags that a resumed run must have in common with the one it goes on from; codetune.json keeps them.
ALIKE = (
    "method", "bits", "batch_size", "learning_rate", "cutoff_len", "lora_r", "lora_alpha", "lora_dropout",
    "lora_target_modules", "train_on_inputs", "truncate", "prompt_template", "warmup_steps", "lr_scheduler_type",
    "weight_decay", "seed",
)  # fmt: skip


def finetune(
    base_model: str,
    data_path: list[str],
    output_dir: str = "out/adapter",
    method: Literal["lora", "full"] = "lora",
    bits: Literal[16, 8] | None = None,
    batch_size: int = 128,
    micro_batch_size: int | None = None,
    num_epochs: float = 3,
    max_steps: int | None = None,
    learning_rate: float = 3e-4,
    cutoff_len: int = 512,
    val_set_size: float | None = None,
    lora_r: int = 8,
    lora_alpha: float = 16,
    lora_dropout: float = 0.05,
    lora_target_modules: list[str] = ("auto",),
    train_on_inputs: bool = True,
    truncate: bool = False,
    prompt_template: str = "alpaca",
    warmup_steps: float = 0.03,
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear",
    weight_decay: float = 0.0,
    eval_steps: int = 200,
    save_steps: int = 200,
    save_total_limit: int = 3,
    seed: int = 42,
    bf16: bool | None = None,
    gradient_checkpointing: bool | None = None,
    resume_from_checkpoint: bool | str | None = None,
    overwrite_output_dir: bool = False,
    show_labels: int = 0,
    subset: str | None = None,
    split: str = "train",
    group_by_length: bool = False,
    add_eos_token: bool = True,
    wandb_project: str | None = None,
    wandb_run_name: str | None = None,
    wandb_watch: Literal["false", "gradients", "all"] | None = None,
    wandb_log_model: bool = False,
):
    """Fine-tune a code model on instruction rows: LoRA by default, or all its weights.

    Leaves in OUTPUT_DIR the adapter in PEFT's own files (--method full: the whole model), codetune.json (base model,
    template, lengths, a fingerprint of the data: what generate.py and export_checkpoint.py need to know), log.jsonl,
    curves.png, and checkpoints to go on from.

    Example:
        python finetune.py --base_model meta-llama/Llama-2-7b-hf --data_path data/rows.json --output_dir out/adapter

    Args:
        base_model: a folder, a hub name, or tiny-llama or tiny-starcoder (made on the spot).
        data_path: rows of instruction, input, output: files (.json, .jsonl, .parquet), folders, a hub dataset.
        output_dir: where the adapter, the log and the checkpoints go.
        method: lora trains small matrices beside the frozen weights; full trains every weight, in 32 bits.
        bits: of the frozen base weights. Default 8 for LoRA on CUDA (bitsandbytes), else 16.
        batch_size: examples in an optimiser step, all devices together.
        micro_batch_size: examples on a device at a time; memory, not the result. Default 4, at most batch_size.
        num_epochs: passes over the rows.
        max_steps: optimiser steps, instead of num_epochs.
        learning_rate: the highest of the schedule.
        cutoff_len: tokens of prompt and response together; longer rows are left out and counted.
        val_set_size: held-out rows, or a share below 1. Default 2000, but at most 5 % of the rows; 0 for none.
        lora_r: the rank of LoRA's matrices.
        lora_alpha: LoRA's scale is lora_alpha / lora_r.
        lora_dropout: before LoRA's matrices.
        lora_target_modules: auto (q_proj and v_proj on Llama, c_attn on StarCoder), all-linear, or names.
        train_on_inputs: learn the prompt's tokens too; false: the response's alone.
        truncate: cut a longer row's response to cutoff_len, its end kept, instead of leaving the row out.
        prompt_template: a name in templates/, or a file of your own.
        warmup_steps: steps of rising learning rate; below 1 a share of all steps.
        lr_scheduler_type: how the learning rate falls after that.
        weight_decay: of AdamW.
        eval_steps: steps between looks at the held-out rows (there is one before and one after as well).
        save_steps: steps between checkpoints.
        save_total_limit: how many checkpoints stay.
        seed: of the order of the rows, the held-out ones, LoRA's start and dropout.
        bf16: compute in bfloat16. Default: where the device has it.
        gradient_checkpointing: less memory, some 30 % more time. Default: for models of 5 billion parameters or more.
        resume_from_checkpoint: auto (the newest whole checkpoint in output_dir, if any), or a checkpoint's folder.
        overwrite_output_dir: delete the checkpoints of an earlier run in output_dir first.
        show_labels: print this many rows with the trained tokens in colour, check every row, and train nothing.
        subset: which configuration of a hub dataset.
        split: which split of a hub dataset.
        group_by_length: accepted and needless; a step's examples are always arranged by length.
        add_eos_token: accepted and needless; the end token is always trained, so false is refused.
        wandb_project: log to this Weights & Biases project too (pip install wandb).
        wandb_run_name: the run's name there.
        wandb_watch: what Weights & Biases watches.
        wandb_log_model: whether Weights & Biases keeps the checkpoints.
    """
    flags = dict(locals())
    check_numbers(flags)
    check_method(method, bits)
    check_needless(group_by_length, add_eos_token)
    micro_batch_size = flags["micro_batch_size"] = micro_batch(micro_batch_size, batch_size)
    files.check_output_folder(output_dir, "output_dir")
    run_name = use_wandb(wandb_project, wandb_run_name or Path(output_dir).name, wandb_watch, wandb_log_model)

    from codetune.sequences import prompts, tokens
    from codetune.text import tokenizers
    from codetune.training import adapters, checkpoints, loop, models, reports, weights

    template = prompts.load(prompt_template)
    rows = read_rows(data_path, split, subset)
    folder = models.locate(base_model)
    if folder.resolve() == Path(output_dir).resolve():
        raise cli.UserError(f"--output_dir {output_dir} is the base model's own folder, which would be overwritten")
    tokenizer = tokenizers.load(folder)
    models.check_fits(folder, tokenizer.size, cutoff_len)
    examples, left_out = tokens.encode_rows(tokenizer, template, rows, cutoff_len, train_on_inputs, truncate)
    check_examples(examples, left_out, rows, tokenizer, cutoff_len)
    if show_labels:
        print_painted(tokenizer, examples, show_labels)
        return
    train, held_out = tokens.hold_out(examples, held_out_size(val_set_size, len(examples)), seed)
    print_rows(rows, left_out, train, held_out, cutoff_len)

    on = models.device()
    bits = flags["bits"] = bits or models.default_bits(method, on)
    dtype = models.compute_dtype(on, bf16)
    alike = {
        "base_fingerprint": weights.fingerprint(folder),
        "data_fingerprint": tokens.fingerprint(examples),
        "dtype": str(dtype).removeprefix("torch."),
        "held_out": len(held_out),
        **{name: list(value) if isinstance(value, tuple) else value for name, value in flags.items() if name in ALIKE},
    }
    resume_from = checkpoints.prepare(output_dir, resume_from_checkpoint, overwrite_output_dir, alike)

    model = model_to_train(folder, dtype, on, flags)
    flags |= {"wandb_run_name": run_name, "output_dir": str(output_dir), **models.mixed_precision(dtype, on)}
    settings = loop.Settings(**{field.name: flags[field.name] for field in dataclasses.fields(loop.Settings)})
    print_run(models.parameters(model), settings, train, f"{on}, {bits} bits, {alike['dtype']}", resume_from)
    history = loop.fit(model, tokenizer.pad_id, train, held_out, settings, resume_from)
    if not checkpoints.is_main_process():
        return
    reports.draw_curves(output_dir, history)
    made = {
        "base_model": models.lasting_name(base_model),
        "objective": "instructions",
        "template": template.as_dict(),
        "data": {"paths": list(data_path), "rows": len(examples)},
        **alike,
        **reports.results(history),
        "versions": models.versions(),
    }
    if method == "lora":
        adapters.save(model, output_dir, made)
    else:
        models.save_full(model, folder, output_dir, made)
    print_end(output_dir, method, made)


def read_rows(data_path, split, subset):
    from codetune.instructions import records

    rows = [record.row for record in records.read(data_path, split, subset)]
    records.check_unicode(rows, ",".join(data_path))
    return rows


def check_examples(examples, left_out, rows, tokenizer, cutoff_len):
    """Raises UserError where there is nothing to train on, or an example would be trained wrongly."""
    from codetune.sequences import tokens

    if left_out["have an empty output"] == len(rows):
        raise cli.UserError("every row has an empty output; there is nothing to learn")
    if not examples:
        raise cli.UserError(
            f"none of the {len(rows):,} rows fits --cutoff_len {cutoff_len}; raise it, or add --truncate"
        )
    tokens.check(examples, tokenizer.eos_id)


def model_to_train(folder, dtype, on, flags):
    """The base model, with an adapter or with all its weights trainable; flags learn whether it is checkpointed."""
    from codetune.training import adapters, models

    models.seed(flags["seed"])
    model = models.load(folder, flags["bits"], models.training_dtype(flags["method"], dtype), on)
    if flags["gradient_checkpointing"] is None:
        flags["gradient_checkpointing"] = models.parameters(model)[1] >= models.LARGE
    if flags["method"] == "full":
        return model
    model = adapters.ready(model, flags["bits"], flags["gradient_checkpointing"])
    rank, alpha, dropout, modules = (flags[f"lora_{name}"] for name in ("r", "alpha", "dropout", "target_modules"))
    return adapters.attach(model, rank, alpha, dropout, modules, models.lasting_name(flags["base_model"]))


def check_numbers(values):
    """Whole numbers that must be at least one, and rates that must be positive."""
    for name in POSITIVE:
        if values[name] is not None and values[name] <= 0:
            raise cli.UserError(f"--{name} {values[name]} must be more than 0")
    for name in ("warmup_steps", "weight_decay", "show_labels"):
        if values[name] < 0:
            raise cli.UserError(f"--{name} {values[name]} must not be negative")
    if not 0 <= values["seed"] < 2**32:
        raise cli.UserError(f"--seed {values['seed']} must be from 0 to {2**32 - 1}")


def check_method(method, bits):
    if method == "full" and bits == 8:
        raise cli.UserError("--method full trains the weights themselves, which 8 bits cannot hold; leave out --bits")


def check_needless(group_by_length, add_eos_token):
    """What today's design made needless is accepted with one line; what would spoil the model is refused."""
    if group_by_length:
        print("--group_by_length is needless: the examples of a step are always arranged by length")
    if not add_eos_token:
        raise cli.UserError(
            "--add_eos_token false would make a model that never stops; the end token is always trained"
        )


def micro_batch(typed, batch_size):
    """What was typed, else 4, but at most a whole step. Raises UserError."""
    size = min(DEFAULT_MICRO_BATCH, batch_size) if typed is None else typed
    if not 1 <= size <= batch_size:
        raise cli.UserError(f"--micro_batch_size {size} must be from 1 to --batch_size {batch_size}")
    return size


def use_wandb(project, run_name, watch, log_model):
    """-> the run's name, or None where no project is given. Raises UserError where wandb is not installed."""
    if project is None:
        return None
    if importlib.util.find_spec("wandb") is None:
        raise cli.UserError("--wandb_project needs Weights & Biases: pip install wandb, or leave the flag out")
    given = {"WANDB_PROJECT": project, "WANDB_WATCH": watch, "WANDB_LOG_MODEL": "checkpoint" if log_model else None}
    os.environ.update({name: value for name, value in given.items() if value is not None})
    return run_name


def held_out_size(typed, rows):
    """How many rows to hold out: what was typed (a share below 1), else 2,000 but at most 5 %. Raises UserError."""
    if typed is None:
        return min(DEFAULT_HELD_OUT, int(rows * MOST_HELD_OUT))
    size = int(typed * rows) if 0 < typed < 1 else int(typed)
    if typed < 0 or size >= rows or (typed >= 1 and size != typed):
        raise cli.UserError(
            f"--val_set_size {typed:g} must be a share below 1 or fewer rows than the {rows:,} there are"
        )
    return size


def print_painted(tokenizer, examples, number):
    from codetune.sequences import tokens

    for example in examples[:number]:
        trained = sum(label != tokens.IGNORE for label in example.labels)
        print(f"--- {trained} of {len(example.ids)} tokens are trained")
        print(tokens.painted(tokenizer, example))
    print(
        f"--- {len(examples):,} rows checked: each trains its end token. Nothing was trained; leave out --show_labels"
    )


def print_rows(rows, left_out, train, held_out, cutoff_len):
    from codetune.sequences.tokens import IGNORE

    total = sum(len(example.ids) for example in train)
    trained = sum(label != IGNORE for example in train for label in example.labels)
    print(f"{len(rows):,} rows: {len(train):,} to train on, {len(held_out):,} held out")
    for reason, number in left_out.items():
        print(f"  {number:,} rows {reason}" + (f" ({cutoff_len})" if "cutoff_len" in reason else ""))
    print(f"{total:,} tokens to train on, {trained:,} of them count in the loss")


def print_run(parameters, settings, train, machine, resume_from):
    from codetune.training import loop

    trainable, total = parameters
    mean = sum(len(example.ids) for example in train) / len(train)
    print(f"{trainable:,} of {total:,} parameters are trained ({machine})")
    print(
        f"{loop.planned_steps(len(train), settings):,} steps of {settings.batch_size} examples "
        f"(about {settings.batch_size * mean:,.0f} tokens), {settings.micro_batch_size} at a time"
    )
    if resume_from:
        print(f"going on from {resume_from}")


def print_end(output_dir, method, made):
    print(f"training loss {made['loss']:.4f}", end="")
    print(
        f", held-out loss {made['eval_loss']:.4f} (before: {made['eval_loss_before']:.4f})"
        if "eval_loss" in made
        else ""
    )
    print(f"{output_dir}: {method} weights, codetune.json, log.jsonl, curves.png")
    flag = "lora_weights" if method == "lora" else "base_model"
    print(f'python generate.py --{flag} {output_dir} --instruction "..."')


if __name__ == "__main__":
    cli.run(finetune, ALIASES)
