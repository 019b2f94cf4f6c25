"""A model answers as one stream of text pieces; the terminal, the page and later the HTTP formats are its readers.

    for piece in stream(model, tokenizer, ids, Sampling(temperature=0)):
        print(piece.text, end="", flush=True)

Text is never cut inside a character, a stop word is found also where it spans tokens, and closing the stream stops the
computation at the next token.
"""

import math
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from codetune.cli import UserError

COLD = 1e-4  # a temperature at which only the likeliest token is left, and whose division would overflow
BROKEN = "\ufffd"  # what decoding gives for an unfinished character
LONGEST_CHARACTER = 4  # bytes of UTF-8


@dataclass(frozen=True)
class Sampling:
    temperature: float = 0.1  # 0: greedy
    top_p: float = 0.75
    top_k: int = 40
    num_beams: int = 1  # more than 1: the answer comes whole, at the end
    max_new_tokens: int = 512
    repetition_penalty: float = 1.0
    seed: int | None = None

    def check(self):
        """Raises UserError where a value makes no sense."""
        if not 0 <= self.temperature < math.inf or not 0.01 <= self.repetition_penalty <= 100:
            raise UserError("temperature must be at least 0 (0: greedy), repetition_penalty from 0.01 to 100")
        if not 0 < self.top_p <= 1 or self.top_k < 0:
            raise UserError(f"top_p {self.top_p} must be in (0, 1] and top_k {self.top_k} at least 0")
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise UserError(f"seed {self.seed} must be from 0 to 2**63 - 1")
        if self.num_beams < 1 or self.max_new_tokens < 1:
            raise UserError(f"num_beams {self.num_beams} and max_new_tokens {self.max_new_tokens} must be at least 1")


class Piece(NamedTuple):
    text: str
    tokens: int  # generated so far
    finish: str | None = None  # in the last piece: "end" (end token), "stop" (stop word) or "length"


class Characters:
    """Ids in, whole characters out."""

    def __init__(self, decode):
        self.decode, self.ids, self.start, self.given = decode, [], 0, ""
        self.waits = 0  # how often in a row nothing was given for a broken end

    def feed(self, new_ids: Sequence[int]) -> str:
        self.ids += new_ids
        text = self.decode(self.ids[self.start :])
        # A broken end is waited for, but not longer than a character can be: the model may write broken ones.
        if text.endswith(BROKEN) and self.waits < LONGEST_CHARACTER - 1:
            self.waits += 1
            return ""
        self.waits = 0
        return self.advance(text)

    def advance(self, text):
        new = text[len(self.given) :]
        if text.endswith("\n") or len(self.ids) - self.start > 64:  # short windows keep decoding linear
            self.start, self.given = len(self.ids), ""
        else:
            self.given = text
        return new

    def flush(self) -> str:
        return self.decode(self.ids[self.start :])[len(self.given) :]


class StopWords:
    """Text in, text out up to the first stop word; what could be the beginning of one is held back."""

    def __init__(self, stops: Sequence[str]):
        self.stops, self.held, self.found = [stop for stop in stops if stop], "", False

    def feed(self, text: str) -> str:
        """StopWords(["END"]): "abE" -> "ab", then "N" -> "", then "x" -> "ENx" """
        text, self.held = self.held + text, ""
        places = [place for place in map(text.find, self.stops) if place >= 0]
        if places:
            self.found = True
            return text[: min(places)]
        keep = max((overlap(text, stop) for stop in self.stops), default=0)
        self.held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        held, self.held = self.held, ""
        return held


def overlap(text, stop):
    """How many characters at the end of `text` begin `stop`: ("abE", "END") -> 1"""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)


class Ids:
    """The streamer that transformers' generate() writes to: the prompt first, then ids as they come."""

    def __init__(self, results):
        self.results, self.prompt_seen = results, False

    def put(self, ids):
        if self.prompt_seen:
            self.results.put(ids.flatten().tolist())
        self.prompt_seen = True

    def end(self):
        pass


def new_ids(model, ids: Sequence[int], sampling: Sampling, end_ids, pad_id, heartbeat=None) -> Iterator[list[int]]:
    """Yields lists of generated ids. Generation runs in a thread of its own; closing the iterator stops it.

    heartbeat: seconds after which an empty list comes where there is nothing new, so that a reader who waits for a
    whole answer gets a turn to close the iterator.
    """
    results, stopped = queue.Queue(), threading.Event()
    worker = threading.Thread(
        target=generate, args=(model, list(ids), sampling, end_ids, pad_id, results, stopped), daemon=True
    )
    worker.start()
    try:
        while (result := next_of(results, heartbeat)) is not None:
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        stopped.set()
        worker.join()


def next_of(results, heartbeat):
    try:
        return results.get(timeout=heartbeat)
    except queue.Empty:
        return []


def generate(model, ids, sampling, end_ids, pad_id, results, stopped):
    """Puts lists of ids into `results`, or the exception that ended it; then, whatever happens, None."""
    import torch

    try:
        if sampling.seed is not None:
            torch.manual_seed(sampling.seed)
        prompt = torch.tensor([ids], device=model.device)
        with torch.inference_mode():
            out = model.generate(
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                generation_config=configuration(sampling, end_ids, pad_id),
                streamer=Ids(results) if sampling.num_beams == 1 else None,
                stopping_criteria=[lambda ids, scores: torch.full((len(ids),), stopped.is_set(), device=ids.device)],
            )
        if sampling.num_beams > 1:
            results.put(out[0, len(ids) :].tolist())
    except torch.OutOfMemoryError:
        results.put(UserError("the GPU's memory does not hold this answer; lower the beams or the tokens"))
    except RuntimeError as error:
        results.put(
            UserError(f"the model's probabilities are no numbers ({str(error).splitlines()[0]}); is it damaged?")
        )
    except Exception as error:
        results.put(error)
    finally:
        results.put(None)


def configuration(sampling, end_ids, pad_id):
    import transformers

    warm = sampling.temperature > COLD and sampling.num_beams == 1
    chance = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k} if warm else {}
    return transformers.GenerationConfig(
        max_new_tokens=sampling.max_new_tokens,
        do_sample=warm,
        num_beams=sampling.num_beams,
        repetition_penalty=sampling.repetition_penalty,
        eos_token_id=sorted(end_ids),
        pad_token_id=pad_id,
        **chance,
    )


def stream(
    model, tokenizer, ids: Sequence[int], sampling: Sampling, stops: Sequence[str] = (), heartbeat: float | None = None
) -> Iterator[Piece]:
    """Yields pieces of the answer to `ids`. Raises UserError where the prompt fills the model's positions.

    heartbeat: yields an empty piece after that many seconds without news.
    """
    sampling.check()
    sampling = fitted(model, ids, sampling)
    characters, words, tokens, finish = Characters(tokenizer.decode), StopWords(stops), 0, "length"
    generator = new_ids(model, ids, sampling, tokenizer.end_ids, tokenizer.pad_id, heartbeat)
    try:
        for some in generator:
            ended = next((place for place, index in enumerate(some) if index in tokenizer.end_ids), None)
            tokens += len(some) if ended is None else ended
            text = words.feed(characters.feed(some[:ended]))
            if text or not some:
                yield Piece(text, tokens)
            if ended is not None or words.found:
                finish = "stop" if words.found else "end"
                break
    finally:
        generator.close()
    rest = "" if words.found else words.feed(characters.flush()) + ("" if words.found else words.flush())
    yield Piece(rest, tokens, "stop" if words.found else finish)


def fitted(model, ids, sampling):
    """At most as many new tokens as the model has positions left."""
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions is None:
        return sampling
    if len(ids) >= positions:
        raise UserError(f"the prompt has {len(ids)} tokens, the model only {positions} positions; shorten it")
    return replace(sampling, max_new_tokens=min(sampling.max_new_tokens, positions - len(ids)))
