"""A base model with its adapter, tokenizer and template: what answers an instruction."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codetune.cli import UserError
from codetune.instructions import records
from codetune.sequences import prompts, tokens
from codetune.serving import generation
from codetune.text import tokenizers
from codetune.training import adapters, models


@dataclass(frozen=True)
class Assistant:
    model: object
    tokenizer: tokenizers.Tokenizer
    template: prompts.Template
    name: str  # of the model, for people

    def answer(
        self, instruction: str, input: str, sampling: generation.Sampling, heartbeat: float | None = None
    ) -> Iterator[generation.Piece]:
        """The stream of pieces that answers; the prompt's ids are those of training."""
        if not instruction.strip():
            raise UserError("the instruction is empty; write what the model is to do")
        if records.has_broken_unicode({"instruction": instruction, "input": input}):
            raise UserError("the instruction is no valid text: it holds a lone surrogate")
        ids = tokens.prompt_ids(self.tokenizer, self.template.prompt(instruction, input))
        return generation.stream(self.model, self.tokenizer, ids, sampling, self.template.stops, heartbeat)


def made_with(base_model: str | None, lora_weights: str | None) -> dict:
    """What training noted beside the adapter or the tuned model; {} where there is no note."""
    if lora_weights:
        adapters.read_config(lora_weights)
        return adapters.read_made(lora_weights)
    return adapters.read_made(base_model) if base_model and Path(base_model).is_dir() else {}


def base_of(base_model: str | None, lora_weights: str | None, made: dict) -> str:
    """The base model that the user named, else the one that the adapter was trained on. Raises UserError."""
    if base_model:
        return base_model
    if not lora_weights:
        raise UserError("--base_model or --lora_weights is missing; --help lists every flag")
    found = made.get("base_model") or adapters.read_config(lora_weights).get("base_model_name_or_path")
    if not found:
        raise UserError(f"{lora_weights} does not say which base model it belongs to; add --base_model")
    return found


def template_of(name: str | None, made: dict) -> prompts.Template:
    """The template that the user named, else the one that training used, else alpaca."""
    if name:
        return prompts.load(name)
    if made.get("template"):
        return prompts.of(made["template"], made["template"].get("name", "trained"), "codetune.json")
    return prompts.load("alpaca")


def load(base_model, lora_weights=None, prompt_template=None, bits=16, other_base=False, dtype=None) -> Assistant:
    """Prints what it took from codetune.json. Raises UserError where the parts do not belong together.

    dtype: what to compute in, by default the device's 16-bit type, or float32 where it has none.
    """
    made = made_with(base_model, lora_weights)
    base = base_of(base_model, lora_weights, made)
    template = template_of(prompt_template, made)
    folder = models.locate(base)
    if lora_weights:
        adapters.check_base(lora_weights, folder, other_base)
    print(f"base model {base}, adapter {lora_weights or 'none'}, template {template.name}")
    tokenizer = tokenizers.load(folder)
    model = models.load(folder, bits, dtype)
    if lora_weights:
        model = adapters.load(model, lora_weights)
    return Assistant(model.eval(), tokenizer, template, Path(lora_weights or base).name)
