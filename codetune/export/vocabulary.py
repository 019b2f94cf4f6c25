"""A model's tokenizer as GGUF metadata: tokens, scores or merges, types, special ids, FIM ids, chat template.

llama.cpp has its own tokenizers. Which of its pre-tokenizers to ask for is read off what tokenizer.json does, not off
the model's name; one that is not known stops the export, since llama.cpp would cut text elsewhere than in training.
"""

import json
from pathlib import Path

import gguf

from codetune.cli import UserError
from codetune.sequences.prompts import Template
from codetune.text import pieces, tokenizers

TYPES = gguf.TokenType
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = QWEN2.replace(r"\p{N}|", r"\p{N}{1,3}|")
DEEPSEEK_CODER = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", "Digits")
# The steps of a tokenizer.json's pre_tokenizer -> tokenizer.ggml.pre
PRE_TOKENIZERS = {
    ("ByteLevel+regex",): "gpt-2",
    ("Digits", "ByteLevel+regex"): "starcoder",
    (QWEN2, "ByteLevel"): "qwen2",
    (LLAMA3, "ByteLevel"): "llama-bpe",
    (*DEEPSEEK_CODER, "ByteLevel"): "deepseek-coder",
}
# role in llama.cpp -> the names that families give it (reference: the families' own tokenizers)
FIM = {
    "PRE": ("<fim_prefix>", "<|fim_prefix|>", "<fim-prefix>", "▁<PRE>", "<｜fim▁begin｜>"),
    "SUF": ("<fim_suffix>", "<|fim_suffix|>", "<fim-suffix>", "▁<SUF>", "<｜fim▁hole｜>"),
    "MID": ("<fim_middle>", "<|fim_middle|>", "<fim-middle>", "▁<MID>", "<｜fim▁end｜>"),
    "PAD": ("<fim_pad>", "<|fim_pad|>", "<fim-pad>"),
    "REP": ("<reponame>", "<repo_name>", "<|repo_name|>"),
    "SEP": ("<file_sep>", "<|file_sep|>"),
}
ENDS_OF_TURN = ("▁<EOT>", "<|EOT|>", "<|eot_id|>", "<|im_end|>")


def add(writer, tokenizer: tokenizers.Tokenizer, vocabulary_size: int, template: Template | None):
    """Writes every tokenizer.* key. vocabulary_size: rows of the embedding; ids beyond the tokenizer's are padded."""
    spec = json.loads(tokenizer.first.to_str())
    if is_sentencepiece(spec):
        add_sentencepiece(writer, tokenizer, spec, vocabulary_size)
    else:
        add_byte_level(writer, tokenizer, spec, vocabulary_size)
    add_special_ids(writer, tokenizer)
    chat = chat_template(template, tokenizer) if template else own_chat_template(tokenizer.folder)
    if chat:
        writer.add_chat_template(chat)


def is_sentencepiece(spec):
    return bool(spec["model"].get("byte_fallback"))


def add_sentencepiece(writer, tokenizer, spec, size):
    """llama.cpp's "llama" tokenizer merges by score, as SentencePiece does."""
    model_file = Path(tokenizer.folder) / "tokenizer.model"
    if model_file.is_file():
        model = pieces.model_of(model_file)
        found = [(piece.piece, piece.score, piece.type) for piece in model.pieces]
        extra_whitespace = model.normalizer_spec.remove_extra_whitespaces
    else:
        found, extra_whitespace = pieces_from_json(spec), False
    entries = dict(enumerate(found))
    for index, added in tokenizer.first.get_added_tokens_decoder().items():
        if index not in entries:
            entries[index] = (added.content, 0.0, TYPES.CONTROL if added.special else TYPES.USER_DEFINED)
    filled = [entries.get(index, (f"[PAD{index}]", 0.0, TYPES.UNUSED)) for index in range(size)]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([piece.encode() for piece, _, _ in filled])
    writer.add_token_scores([score for _, score, _ in filled])
    writer.add_token_types([int(kind) for _, _, kind in filled])
    writer.add_add_space_prefix(puts_space_first(spec))
    writer.add_remove_extra_whitespaces(extra_whitespace)


def pieces_from_json(spec):
    """[(piece, score, type)] from a tokenizer.json alone: minus the rank of the first merge that makes a piece."""
    rank = {}
    for place, merge in enumerate(spec["model"]["merges"]):
        rank.setdefault("".join(merge if isinstance(merge, list) else merge.split(" ", 1)), place)
    special = {token["id"] for token in spec["added_tokens"] if token["special"]}
    unknown = spec["model"].get("unk_token")
    by_id = sorted(spec["model"]["vocab"].items(), key=lambda item: item[1])
    return [(piece, -float(rank.get(piece, len(rank))), kind_of(piece, i, special, unknown)) for piece, i in by_id]


def kind_of(piece, index, special, unknown):
    if piece == unknown:
        return TYPES.UNKNOWN
    if index in special:
        return TYPES.CONTROL
    return TYPES.BYTE if len(piece) == 6 and piece.startswith("<0x") else TYPES.NORMAL


def puts_space_first(spec):
    """Whether the tokenizer begins a text with a space of its own, by Prepend or by Metaspace."""
    steps = json.dumps([spec.get("normalizer"), spec.get("pre_tokenizer")])
    return '"Prepend"' in steps or '"prepend_scheme": "always"' in steps or '"prepend_scheme": "first"' in steps


def add_byte_level(writer, tokenizer, spec, size):
    """llama.cpp's "gpt2" tokenizer: tokens in the byte-level alphabet, merges in order."""
    names = {index: token for token, index in tokenizer.first.get_vocab(with_added_tokens=True).items()}
    added = tokenizer.first.get_added_tokens_decoder()
    types = {i: TYPES.CONTROL if token.special else TYPES.USER_DEFINED for i, token in added.items()}
    kinds = [types.get(i, TYPES.NORMAL if i in names else TYPES.UNUSED) for i in range(size)]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in spec["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer(spec, tokenizer.folder))
    writer.add_token_list([names.get(index, f"[PAD{index}]").encode() for index in range(size)])
    writer.add_token_types([int(kind) for kind in kinds])
    writer.add_token_merges(merges)


def pre_tokenizer(spec, folder):
    """tokenizer.ggml.pre by the steps in tokenizer.json. Raises UserError where llama.cpp has no equal."""
    if spec.get("normalizer") not in (None, {"type": "NFC"}):
        raise UserError(
            f"{folder}: the tokenizer normalizes text ({spec['normalizer']['type']}), which GGUF cannot say"
        )
    steps = tuple(step_name(step) for step in steps_of(spec.get("pre_tokenizer")))
    if steps not in PRE_TOKENIZERS:
        raise UserError(
            f"{folder}: the tokenizer cuts text by {' then '.join(steps) or 'nothing'}, for which no llama.cpp "
            "pre-tokenizer is known to be equal; export with --checkpoint_type hf instead"
        )
    return PRE_TOKENIZERS[steps]


def steps_of(node):
    if node is None:
        return []
    return node["pretokenizers"] if node["type"] == "Sequence" else [node]


def step_name(step):
    if step["type"] == "ByteLevel":
        return "ByteLevel+regex" if step.get("use_regex", True) else "ByteLevel"
    if step["type"] == "Digits" and step.get("individual_digits"):
        return "Digits"
    if step["type"] == "Split" and step.get("behavior") == "Isolated" and not step.get("invert"):
        return step["pattern"].get("Regex", str(step["pattern"]))
    return json.dumps(step, sort_keys=True)


def add_special_ids(writer, tokenizer):
    if tokenizer.bos_id is not None:
        writer.add_bos_token_id(tokenizer.bos_id)
    writer.add_eos_token_id(tokenizer.eos_id)
    writer.add_pad_token_id(tokenizer.pad_id)
    writer.add_add_bos_token(tokenizer.adds_bos)
    writer.add_add_eos_token(False)
    names = {**tokenizer.specials(), **{name: tokenizer.id_of(name) for name in sum(FIM.values(), ())}}
    for role, candidates in FIM.items():
        found = next((names[name] for name in candidates if names.get(name) is not None), None)
        if found is not None:
            writer.add_uint32(getattr(gguf.Keys.Tokenizer, f"FIM_{role}_ID"), found)
    turn = next((tokenizer.id_of(name) for name in ENDS_OF_TURN if tokenizer.id_of(name) is not None), None)
    if turn is not None:
        writer.add_eot_token_id(turn)


def chat_template(template: Template, tokenizer) -> str:
    """The instruction template as the Jinja that llama.cpp and transformers render chats with.

    A user's message becomes the prompt without input, an assistant's follows and ends; a system message stands first.
    """
    before, after = template.prompt_no_input.split("{instruction}", 1)
    end = tokenizer.token(tokenizer.eos_id)
    return (
        "{% for message in messages %}"
        "{% if message['role'] == 'user' %}{{ " + quoted(before) + " + message['content'] + " + quoted(after) + " }}"
        "{% elif message['role'] == 'assistant' %}{{ message['content'] + " + quoted(end) + " }}"
        "{% else %}{{ message['content'] + " + quoted("\n\n") + " }}{% endif %}"
        "{% endfor %}"
    )


def quoted(text):
    """A Jinja string literal."""
    return json.dumps(text, ensure_ascii=False)


def own_chat_template(folder):
    """The base model's, for a model that was not tuned with a template of ours."""
    beside = Path(folder) / "chat_template.jinja"
    if beside.is_file():
        return beside.read_text(encoding="utf-8")
    found = tokenizers.read_if_there(Path(folder) / "tokenizer_config.json").get("chat_template")
    return found if isinstance(found, str) else None
