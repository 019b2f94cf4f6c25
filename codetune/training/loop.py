"""Fit a model to examples with transformers' Trainer: ours are the rows that go in, the loss, and the checks around.

An optimiser step holds exactly `batch_size` examples drawn at random. Inside it they are sorted by length and cut into
micro batches, so that few positions are padding; since the loss is a sum over the step's tokens, the gradient is the
same whatever the arrangement. Order is a function of (seed, epoch) only, so a resumed run goes on exactly.
"""

import math
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

from codetune import files
from codetune.cli import UserError
from codetune.sequences.tokens import IGNORE
from codetune.training import checkpoints, loss, reports

LOG_SECONDS = 5  # how often log.jsonl is written anew; it is also at every checkpoint and at the end


class StepBatches:
    """The micro batches of an epoch, as lists of indices; a step's stand together, the longest examples first.

    Several processes take them in turn, each `accumulation` a step. There the last step of an epoch is left out where
    it is not whole, since every process must have as many micro batches.
    """

    def __init__(self, lengths, batch_size, micro_batch_size, seed, processes=1):
        self.lengths, self.batch_size, self.seed, self.processes = lengths, batch_size, seed, processes
        self.at_once = micro_batch_size * processes
        self.epoch = 0
        self.drop_last = False  # accelerate asks

    @property
    def accumulation(self):
        return math.ceil(self.batch_size / self.at_once)

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        whole, rest = divmod(len(self.lengths), self.batch_size)
        last = math.ceil(rest / self.at_once) if self.processes == 1 else 0
        return whole * self.accumulation * self.processes + last

    def __iter__(self):
        order = list(range(len(self.lengths)))
        random.Random(f"{self.seed} {self.epoch}").shuffle(order)
        for at in range(0, len(order), self.batch_size):
            step = sorted(order[at : at + self.batch_size], key=lambda index: -self.lengths[index])
            if len(step) == self.batch_size or self.processes == 1:
                yield from even_parts(step, math.ceil(len(step) / self.at_once) * self.processes)


def even_parts(items, number):
    """[5, 4, 3, 2, 1], 2 -> [5, 4, 3], [2, 1]"""
    size, larger = divmod(len(items), number)
    at = 0
    for part in range(number):
        end = at + size + (part < larger)
        yield items[at:end]
        at = end


def collate(pad_id):
    """-> a function: examples -> tensors (B, longest), padded on the right and masked by length, never by id."""
    import torch

    def padded(examples):
        longest = max(len(example.ids) for example in examples)
        rows = {"input_ids": [], "attention_mask": [], "labels": []}
        for ids, labels in examples:
            padding = longest - len(ids)
            rows["input_ids"].append(ids + [pad_id] * padding)
            rows["attention_mask"].append([1] * len(ids) + [0] * padding)
            rows["labels"].append(labels + [IGNORE] * padding)
        return {name: torch.tensor(row) for name, row in rows.items()}

    return padded


@dataclass(frozen=True)
class Settings:
    output_dir: str
    batch_size: int  # examples in an optimiser step, all devices together
    micro_batch_size: int  # examples on one device at a time
    learning_rate: float
    num_epochs: float = 3
    max_steps: int | None = None  # instead of num_epochs
    warmup_steps: float = 0.03  # steps, or a share of them below 1
    lr_scheduler_type: str = "linear"
    weight_decay: float = 0.0
    eval_steps: int = 200
    save_steps: int = 200
    save_total_limit: int = 3
    seed: int = 42
    bf16: bool = False
    fp16: bool = False
    use_cpu: bool = False
    gradient_checkpointing: bool = False
    wandb_run_name: str | None = None  # reports to Weights & Biases where given


def processes() -> int:
    """How many training processes run together, as torchrun and accelerate say."""
    return int(os.environ.get("WORLD_SIZE", 1))


def step_batches(examples, settings):
    lengths = [len(example.ids) for example in examples]
    return StepBatches(lengths, settings.batch_size, settings.micro_batch_size, settings.seed, processes())


def trainer_class():
    """Trainer with our batches and an exact held-out loss. A function, because importing Trainer takes five seconds."""
    import torch
    import transformers

    class StepTrainer(transformers.Trainer):
        def __init__(self, *args, settings, pad_id, **kwargs):
            self.settings = settings
            super().__init__(*args, data_collator=collate(pad_id), compute_loss_func=loss.step_loss, **kwargs)

        def get_train_dataloader(self):
            batches = step_batches(self.train_dataset, self.settings)
            loader = torch.utils.data.DataLoader(
                self.train_dataset, batch_sampler=batches, collate_fn=self.data_collator
            )
            return self.accelerator.prepare(loader)

        def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix="eval"):
            """The mean loss over every held-out token, whatever the rows' lengths: a sum over all, divided once."""
            examples = self.eval_dataset
            by_length = sorted(range(len(examples)), key=lambda index: -len(examples[index].ids))
            size = self.settings.micro_batch_size
            batches = [by_length[at : at + size] for at in range(0, len(by_length), size)]
            rank, world = self.accelerator.process_index, self.accelerator.num_processes
            self.model.eval()
            summed = torch.zeros(2, dtype=torch.float64)
            for batch in batches[rank::world]:
                inputs = self._prepare_inputs(self.data_collator([examples[index] for index in batch]))
                labels = inputs.pop("labels")
                with torch.no_grad(), self.accelerator.autocast():
                    total = loss.token_loss(self.model(**inputs, use_cache=False).logits, labels)
                summed += torch.tensor([total.item(), (labels[:, 1:] != IGNORE).sum().item()], dtype=torch.float64)
            if world > 1:
                summed = self.accelerator.reduce(summed.float().to(self.args.device), "sum").cpu().double()
            self.model.train()
            metrics = {f"{metric_key_prefix}_loss": (summed[0] / summed[1]).item()}
            self.log(dict(metrics))
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
            return metrics

    return StepTrainer


def callback_class():
    import transformers

    class Record(transformers.TrainerCallback):
        """The progress line, log.jsonl after every entry, and the mark that proves a checkpoint whole."""

        def __init__(self, folder):
            self.folder, self.bar, self.latest, self.written = folder, None, {}, 0.0

        def write(self, state):
            reports.write_log(self.folder, state.log_history)
            self.written = time.monotonic()

        def on_train_begin(self, args, state, control, **kwargs):
            if state.is_world_process_zero:
                self.bar = reports.progress_bar(state.max_steps, state.global_step)

        def on_log(self, args, state, control, logs=None, **kwargs):
            check_finite(logs or {}, state.global_step, self.folder)
            if not state.is_world_process_zero:
                return
            if time.monotonic() - self.written > LOG_SECONDS:
                self.write(state)
            self.latest.update({k: f"{logs[k]:.4f}" for k in ("loss", "eval_loss") if k in (logs or {})})
            if self.bar is not None:
                self.bar.update(state.global_step - self.bar.n)
                self.bar.set_postfix(self.latest, refresh=False)

        def on_save(self, args, state, control, **kwargs):
            if state.is_world_process_zero:
                self.write(state)
                checkpoints.mark_whole(Path(args.output_dir) / f"checkpoint-{state.global_step}")

        def close(self):
            if self.bar is not None:
                self.bar.close()

    return Record


def check_finite(logs, step, folder):
    """Stops a run that has diverged: what comes after a nan is nan."""
    for name in ("loss", "eval_loss"):
        if name in logs and not math.isfinite(logs[name]):
            whole = checkpoints.whole(folder)
            last = f"; the last whole checkpoint is {whole[-1]}" if whole else ""
            raise UserError(f"the {name} is {logs[name]} at step {step}: the run diverged; lower --learning_rate{last}")


def fit(model, pad_id: int, train, held_out, settings: Settings, resume_from: Path | None = None):
    """Trains in place; returns Trainer's log history. train, held_out: lists of Example."""
    import torch
    import transformers

    arguments = transformers.TrainingArguments(
        output_dir=settings.output_dir,
        per_device_train_batch_size=settings.micro_batch_size,
        gradient_accumulation_steps=step_batches(train, settings).accumulation,
        num_train_epochs=settings.num_epochs,
        max_steps=settings.max_steps or -1,
        learning_rate=settings.learning_rate,
        warmup_steps=warmup(settings, len(train)),
        lr_scheduler_type=settings.lr_scheduler_type,
        weight_decay=settings.weight_decay,
        optim="adamw_torch",
        bf16=settings.bf16,
        fp16=settings.fp16,
        use_cpu=settings.use_cpu,
        logging_steps=1,
        logging_nan_inf_filter=False,  # it would show a diverged run as a loss of 0
        eval_strategy="steps" if held_out else "no",
        eval_steps=settings.eval_steps,
        eval_on_start=bool(held_out) and resume_from is None,
        save_strategy="steps",
        save_steps=settings.save_steps,
        save_total_limit=settings.save_total_limit,
        seed=settings.seed,
        report_to=["wandb"] if settings.wandb_run_name is not None else [],
        run_name=settings.wandb_run_name,
        remove_unused_columns=False,
        ddp_find_unused_parameters=False if processes() > 1 else None,
        accelerator_config={"even_batches": False},
        disable_tqdm=True,
    )
    # A second GPU takes part through torchrun or accelerate only: DataParallel would split our micro batches again.
    arguments._n_gpu = min(1, arguments.n_gpu)
    model.config.use_cache = False
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    record = callback_class()(settings.output_dir)
    trainer = trainer_class()(
        model,
        arguments,
        train_dataset=train,
        eval_dataset=held_out or None,
        settings=settings,
        pad_id=pad_id,
        callbacks=[record],
    )
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    try:
        with files.naming_full_disk(settings.output_dir):
            go_on(trainer, resume_from, planned_steps(len(train), settings))
            if held_out and not ended_with_evaluation(trainer.state):
                trainer.evaluate()
            if checkpoints.is_main_process():
                reports.write_log(settings.output_dir, trainer.state.log_history)
    except torch.OutOfMemoryError:
        raise UserError(
            f"the GPU's memory does not hold a micro batch of {settings.micro_batch_size}; lower --micro_batch_size or "
            "--cutoff_len, or add --gradient_checkpointing"
        ) from None
    finally:
        record.close()
    return trainer.state.log_history


def planned_steps(examples: int, settings) -> int:
    """max_steps, or those of num_epochs passes, each ending with a step that may be smaller."""
    return settings.max_steps or math.ceil(math.ceil(examples / settings.batch_size) * settings.num_epochs)


def warmup(settings, examples) -> int:
    """Whole steps; a share is rounded down, so that a run of few steps has none and learns in its first."""
    share = settings.warmup_steps
    return int(share * planned_steps(examples, settings)) if share < 1 else int(share)


def go_on(trainer, resume_from, steps):
    """Trains, or takes what a checkpoint holds where that is all: Trainer would train one step more."""
    import transformers

    state = transformers.TrainerState.load_from_json(str(resume_from / "trainer_state.json")) if resume_from else None
    if state is None or state.global_step < steps:
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    else:
        print(f"{resume_from} is the end of this run of {steps:,} steps: nothing is left to train")
        trainer._load_from_checkpoint(str(resume_from))
        trainer.state = state


def ended_with_evaluation(state):
    return any("eval_loss" in entry and entry["step"] == state.global_step for entry in state.log_history)
