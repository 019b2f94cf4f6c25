"""The written GGUF says what the model said: same tokens in llama.cpp, and the greedy answers side by side."""

from typing import NamedTuple

from codetune.cli import UserError
from codetune.sequences import tokens
from codetune.serving import assistant, generation
from codetune.serving.llama_cpp import LlamaCpp
from codetune.text.tokenizers import PROBES

LENGTH = 64  # tokens of the greedy answers


class Answers(NamedTuple):
    transformers: str
    llama_cpp: str
    agreed: int  # tokens that are the same from the beginning
    tokens: int  # of the longer answer


def check_tokens(server: LlamaCpp, tokenizer, texts=PROBES):
    """Raises UserError at the first text to which llama.cpp gives other ids."""
    for text in texts:
        ours, theirs = tokenizer.encode(text), server.tokenize(text)
        if ours != theirs:
            raise UserError(
                f"{server.path}: llama.cpp cuts {text!r} into {theirs[:8]}..., training into {ours[:8]}...; do not use "
                "this file, and report its tokenizer"
            )


def answers(server: LlamaCpp, loaded: assistant.Assistant, instruction: str, length: int = LENGTH) -> Answers:
    """The greedy answer of both to one instruction."""
    ids = tokens.prompt_ids(loaded.tokenizer, loaded.template.prompt(instruction))
    ours = greedy(loaded, ids, length)
    theirs = server.complete(ids, length)["tokens"]
    theirs = theirs[: next((at for at, index in enumerate(theirs) if index in loaded.tokenizer.end_ids), len(theirs))]
    agreed = next(
        (at for at, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs))
    )
    decode = loaded.tokenizer.decode
    return Answers(decode(ours), decode(theirs), agreed, max(len(ours), len(theirs)))


def greedy(loaded, ids, length):
    """The ids of transformers' greedy answer, without the end token."""
    sampling = generation.Sampling(temperature=0, max_new_tokens=length)
    ends = loaded.tokenizer.end_ids
    generated = generation.new_ids(loaded.model, ids, sampling, ends, loaded.tokenizer.pad_id)
    return [index for some in generated for index in some if index not in ends]


def side_by_side(left: str, right: str, titles=("transformers", "llama.cpp"), width: int = 56) -> str:
    """Two texts in two columns."""
    rows = [titles, ("-" * len(titles[0]), "-" * len(titles[1]))]
    a, b = wrapped(left, width), wrapped(right, width)
    rows += [(a[at] if at < len(a) else "", b[at] if at < len(b) else "") for at in range(max(len(a), len(b)))]
    return "\n".join(f"  {one:<{width}} | {other}".rstrip() for one, other in rows)


def wrapped(text, width):
    """Lines cut at `width`, tabs spread."""
    lines = text.expandtabs(4).splitlines() or [""]
    return [line[at : at + width] for line in lines for at in range(0, max(1, len(line)), width)]
