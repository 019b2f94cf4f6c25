"""Prompt and response become ids and labels, piece by piece.

    ids      bos  prompt ...  response ...  eos
    labels    -     -   -       r    r      eos       (train_on_inputs: prompt ... too)

The two are tokenized apart, so that the prompt's ids in training are those of serving whatever stands after it.
The end is always trained; a row that does not fit is dropped and counted, or cut with its end kept where asked for.
"""

import os
import random
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from codetune import files
from codetune.cli import UserError

IGNORE = -100  # CrossEntropyLoss's ignore_index
TRAINED, UNTRAINED, RESET = "\033[1;32m", "\033[2m", "\033[0m"


class Example(NamedTuple):
    ids: list[int]
    labels: list[int]  # as long as ids; IGNORE where nothing is learnt


def prompt_ids(tokenizer, prompt: str) -> list[int]:
    """What the model sees before it answers, in training and in serving."""
    return before(tokenizer) + tokenizer.encode(prompt)


def before(tokenizer) -> list[int]:
    return [tokenizer.bos_id] if tokenizer.adds_bos else []


def join(prompt: list[int], response: list[int], eos_id: int, train_on_inputs: bool = False) -> Example:
    """[1, 2], [3], eos_id=0 -> ids [1, 2, 3, 0], labels [-100, -100, 3, 0]"""
    ids = [*prompt, *response, eos_id]
    untrained = min(1, len(prompt)) if train_on_inputs else len(prompt)  # nothing stands before the first token
    return Example(ids, [IGNORE] * untrained + ids[untrained:])


def encode(tokenizer, prompt: str, response: str, train_on_inputs: bool = False) -> Example:
    response_ids = tokenizer.encode(response, continues=True)
    return join(prompt_ids(tokenizer, prompt), response_ids, tokenizer.eos_id, train_on_inputs)


def encode_rows(tokenizer, template, rows: Iterable[dict], cutoff_len: int, train_on_inputs=False, truncate=False):
    """-> (examples, Counter of why rows were left out or cut). Rows are dicts of instruction, input, output."""
    rows = list(rows)
    answered = [row for row in rows if row["output"].strip()]
    left_out = Counter({"have an empty output": len(rows) - len(answered)})
    rows = answered
    prompts = tokenizer.encode_many([template.prompt(row["instruction"], row["input"]) for row in rows])
    responses = tokenizer.encode_many([row["output"] for row in rows], continues=True)
    examples = []
    for prompt, response in zip(prompts, responses, strict=True):
        prompt = before(tokenizer) + prompt
        room = cutoff_len - len(prompt) - 1  # the end needs one
        if len(response) > room and (not truncate or room < 1):
            left_out["are longer than --cutoff_len and left out"] += 1
            continue
        if len(response) > room:
            left_out["are cut to --cutoff_len, their end kept"] += 1
        examples.append(join(prompt, response[:room], tokenizer.eos_id, train_on_inputs))
    return examples, +left_out


def faults(example: Example, eos_id: int) -> list[str]:
    """What would make training on this example wrong; [] for a sound one."""
    trained = [label for label in example.labels[1:] if label != IGNORE]  # the first position has nothing before it
    found = [] if trained else ["no token is trained"]
    if example.ids[-1] != eos_id or example.labels[-1] != eos_id:
        found.append("the end token is not trained")
    return found


def check(examples, eos_id: int):
    """Raises UserError at the first example that would be trained wrongly."""
    for number, example in enumerate(examples):
        found = faults(example, eos_id)
        if found:
            raise UserError(
                f"example {number} must not be trained: {' and '.join(found)}; look at it with --show_labels"
            )


def hold_out(examples, number: int, seed: int):
    """-> (examples to train on, `number` held-out ones drawn by seed), both in the order they came."""
    chosen = set(random.Random(f"held out {seed}").sample(range(len(examples)), number))
    return (
        [example for index, example in enumerate(examples) if index not in chosen],
        [example for index, example in enumerate(examples) if index in chosen],
    )


def fingerprint(examples) -> str:
    """A short name for exactly these ids and labels in this order."""
    return files.sha256(*(repr(example).encode() for example in examples))[:16]


def painted(tokenizer, example: Example) -> str:
    """The text with trained tokens in green and the rest dim; with NO_COLOR set, trained runs in ⟦ ⟧."""
    plain = bool(os.environ.get("NO_COLOR"))
    opened = {True: "⟦" if plain else TRAINED, False: "" if plain else UNTRAINED}
    closed = {True: "⟧" if plain else RESET, False: "" if plain else RESET}
    return "".join(
        opened[trained] + shown(tokenizer, ids) + closed[trained] for trained, ids in runs(example.ids, example.labels)
    )


def runs(ids, labels):
    """[5, 6, 7], [-100, 6, 7] -> [(False, [5]), (True, [6, 7])]"""
    found = []
    for index, label in zip(ids, labels, strict=True):
        trained = label != IGNORE
        if not found or found[-1][0] != trained:
            found.append((trained, []))
        found[-1][1].append(index)
    return found


def shown(tokenizer, ids):
    """The text of ids with the special tokens spelt out."""
    specials = {index: name for name, index in tokenizer.specials().items()}
    text, plain = "", []
    for index in ids:
        if index in specials:
            text, plain = text + tokenizer.decode(plain) + specials[index], []
        else:
            plain.append(index)
    return text + tokenizer.decode(plain)
