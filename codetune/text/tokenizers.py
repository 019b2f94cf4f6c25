"""A tokenizer exactly as its files say, checked at load; and which of its tokens pad, begin and end.

transformers 5 rebuilds some tokenizers from their class name and gives other ids than the model was trained on
(StarCoder's loses its Digits step, Llama's gains one). Here tokenizer.json is read as it is, and tokenizer.model is
turned into the same machine; where both witnesses exist they must agree on PROBES, or loading stops.

Special tokens are never read out of text: "</s>" in a user's file stays four characters.
"""

import copy
import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codetune import files
from codetune.cli import UserError
from codetune.text import pieces

FILES = (  # everything that makes a tokenizer; an export copies what there is, byte for byte
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "chat_template.jinja", "generation_config.json",
)  # fmt: skip
PROBES = (
    "def add(a, b):\n    return a + b\n",
    "\tif x[i] != 10240:\r\n\t\tprint('%d' % 3.14159)\n",
    "  two  spaces,   three,\n\n\n        eight",
    "for (int i = 0; i < n; i++) { s += \"é ü ß\"; }  // naïve 你好 😀 \u200b",
    " leading", "trailing \t ", "\n", "a", "0123456789 0x1F 1e-5", "<s> </s> <|endoftext|> [INST]", "▁ \u2581x",
)  # fmt: skip
PADS = ("<fim_pad>", "<|fim_pad|>", "<pad>", "<|pad|>", "[PAD]", "<|finetune_right_pad_id|>", "<unk>")
ENDS = (
    "<|endoftext|>", "</s>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<end_of_turn>", "<eos>",
    "<|EOT|>", "<EOT>", "▁<EOT>", "<｜end▁of▁sentence｜>",
)  # fmt: skip


@dataclass(frozen=True)
class Tokenizer:
    """Text to ids and back. `encode(text)` begins a text; `encode(text, continues=True)` goes on after one, which for
    SentencePiece means: without the space that it puts before the first word."""

    folder: Path
    first: object  # tokenizers.Tokenizer for the beginning of a text
    later: object  # the same without a space put in front, and none taken off when decoding
    bos_id: int | None
    eos_id: int
    pad_id: int  # never an end token
    end_ids: frozenset  # eos_id and the family's other ends
    adds_bos: bool  # whether the model was trained with bos_id at the beginning
    literal: dict  # id -> text of added tokens that the byte-level decoder would take for bytes

    @property
    def size(self):
        """One more than the largest id."""
        return max(self.first.get_vocab(with_added_tokens=True).values()) + 1

    def encode(self, text: str, continues: bool = False) -> list[int]:
        backend = self.later if continues else self.first
        return backend.encode(text, add_special_tokens=False).ids

    def encode_many(self, texts: Sequence[str], continues: bool = False) -> list[list[int]]:
        backend = self.later if continues else self.first
        return [encoding.ids for encoding in backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids that continue a text; special tokens leave nothing."""
        text, plain = "", []
        for index in ids:
            if index in self.literal:
                text, plain = text + self.later.decode(plain, skip_special_tokens=True) + self.literal[index], []
            else:
                plain.append(index)
        return text + self.later.decode(plain, skip_special_tokens=True)

    def token(self, index: int) -> str | None:
        return self.first.id_to_token(index)

    def id_of(self, token: str) -> int | None:
        return self.first.token_to_id(token)

    def specials(self) -> dict[str, int]:
        """The special tokens by name, as for FIM sentinels."""
        return {added.content: i for i, added in self.first.get_added_tokens_decoder().items() if added.special}


def load(folder) -> Tokenizer:
    """The tokenizer in a model's folder. Raises UserError where files are missing or disagree."""
    folder = Path(folder)
    config = read_if_there(folder / "tokenizer_config.json")
    first = backend_of(folder, config)
    first.encode_special_tokens = True
    ends = end_tokens(folder, first, config)
    bos = token_named(folder, first, config, "bos_token")
    return Tokenizer(
        folder=folder,
        first=first,
        later=continuing(first),
        bos_id=bos,
        eos_id=ends[0],
        pad_id=pad_token(first, config, ends),
        end_ids=frozenset(ends),
        adds_bos=begins_with_bos(folder, first, config, bos),
        literal=literal_tokens(first),
    )


def backend_of(folder, config):
    """tokenizer.json as it is, or the same machine made from tokenizer.model; compared where there are both."""
    import tokenizers

    as_json, as_model = folder / "tokenizer.json", folder / "tokenizer.model"
    if not as_json.is_file() and not as_model.is_file():
        raise UserError(
            f"{folder}: no tokenizer.json and no tokenizer.model; copy the base model's tokenizer files here"
        )
    if as_json.is_file():
        try:
            backend = tokenizers.Tokenizer.from_file(str(as_json))
        except Exception as error:  # the tokenizers package raises plain Exception
            raise UserError(f"{as_json}: not readable as a tokenizer: {error}") from None
        backend.no_padding()
        backend.no_truncation()
    else:
        backend = pieces.as_tokenizer(as_model, added_tokens(folder, config))
    if as_model.is_file():
        compare(backend, pieces.processor(as_model), as_json if as_json.is_file() else as_model)
    check_added(folder, backend, config)
    return backend


def literal_tokens(backend):
    """DeepSeek-Coder adds letters such as "ü" as tokens, which ByteLevel's decoder would turn into broken bytes."""
    if '"ByteLevel"' not in json.dumps(json.loads(backend.to_str())["decoder"]):
        return {}
    return {index: added.content for index, added in backend.get_added_tokens_decoder().items() if not added.special}


def compare(backend, witness, path):
    """Raises UserError where the two give other ids for one of PROBES."""
    backend = copy.deepcopy(backend)
    backend.encode_special_tokens = True
    for probe in PROBES:
        ids, expected = backend.encode(probe, add_special_tokens=False).ids, witness.encode(probe)
        if ids != expected:
            raise UserError(
                f"{path}: gives other ids than the SentencePiece model beside it: {probe!r} is {ids[:8]}... and not "
                f"{expected[:8]}...; take both files from the same model, or remove the wrong one"
            )


def check_added(folder, backend, config):
    """Every added token must have the id that the files beside the tokenizer give it."""
    for token, index in added_tokens(folder, config).items():
        found = backend.token_to_id(token)
        if found != index:
            raise UserError(
                f"{folder}: tokenizer_config.json or added_tokens.json gives {token!r} the id {index}, the tokenizer "
                f"{found}; take all files from the same model"
            )


def continuing(backend):
    """The same tokenizer for text that goes on: nothing is put before it, and decoding takes no space off."""
    import tokenizers

    changed = without_prefix(json.loads(backend.to_str()))
    later = tokenizers.Tokenizer.from_str(json.dumps(changed))
    later.encode_special_tokens = True
    return later


def without_prefix(node):
    """tokenizer.json's tree without Prepend and Strip steps, and with every put-a-space-first switch off."""
    if isinstance(node, list):
        return [without_prefix(child) for child in node if not is_prefix_step(child)]
    if not isinstance(node, dict):
        return node
    tree = {}
    for key, child in node.items():
        if key in ("normalizer", "pre_tokenizer", "decoder"):
            tree[key] = None if is_prefix_step(child) else without_prefix(child)
        else:
            tree[key] = without_prefix(child) if key in ("normalizers", "pretokenizers", "decoders") else child
    if node.get("type") == "Metaspace":
        tree.update(prepend_scheme="never", **({"add_prefix_space": False} if "add_prefix_space" in node else {}))
    elif node.get("type") == "ByteLevel":
        tree["add_prefix_space"] = False
    return tree


def is_prefix_step(node):
    return isinstance(node, dict) and node.get("type") in ("Prepend", "Strip")


def added_tokens(folder, config):
    """{token: id} of the tokens that stand beside a tokenizer.model, as CodeLlama's sentinels do."""
    decoder = config.get("added_tokens_decoder") or {}
    named = {token["content"]: int(index) for index, token in decoder.items()}
    return {**read_if_there(folder / "added_tokens.json"), **named}


def end_tokens(folder, backend, config):
    """The ids that end a text, eos first. Raises UserError where the files name none."""
    eos = token_named(folder, backend, config, "eos_token")
    specials = {added.content: index for index, added in backend.get_added_tokens_decoder().items() if added.special}
    listed = read_if_there(folder / "generation_config.json").get("eos_token_id")
    listed = listed if isinstance(listed, list) else [listed]
    known = [specials[name] for name in ENDS if name in specials]
    ends = [index for index in dict.fromkeys([eos, *listed, *known]) if index is not None]
    if not ends:
        raise UserError(f"{folder}: no end token; name eos_token in tokenizer_config.json")
    return ends


def token_named(folder, backend, config, role):
    """The id of "bos_token" or "eos_token": by tokenizer_config.json, special_tokens_map.json, then config.json."""
    for named in (config, read_if_there(folder / "special_tokens_map.json")):
        token = content(named.get(role))
        if token is not None:
            index = backend.token_to_id(token)
            if index is None:
                raise UserError(f"{folder}: {role} {token!r} is not in the tokenizer's vocabulary")
            return index
    index = read_if_there(folder / "config.json").get(f"{role}_id")
    return index[0] if isinstance(index, list) else index


def pad_token(backend, config, ends):
    """Never an end: what masks padding by its id would mask the end too, and the model would not learn to stop.

    Where the vocabulary has no token to spare any other id will do, since padding is masked by length."""
    names = [content(config.get("pad_token")), *PADS]
    present = [backend.token_to_id(name) for name in names if name is not None]
    spare = [index for index in present if index is not None and index not in ends]
    return spare[0] if spare else next(index for index in range(len(ends) + 1) if index not in ends)


def begins_with_bos(folder, backend, config, bos):
    """By tokenizer_config.json, else by what tokenizer.json puts before a text; a bare tokenizer.model: yes."""
    if bos is None:
        return False
    if config.get("add_bos_token") is not None:
        return config["add_bos_token"]
    if (folder / "tokenizer.json").is_file():
        return backend.encode("a", add_special_tokens=True).ids[:1] == [bos]
    return True


def content(token):
    """tokenizer_config.json gives a token as its text or as {"content": text, ...}"""
    return token.get("content") if isinstance(token, dict) else token


@functools.cache
def _read(path, changed):
    return files.read_json(path, "tokenizer file", dict)


def read_if_there(path):
    return _read(path, path.stat().st_mtime_ns) if path.is_file() else {}
