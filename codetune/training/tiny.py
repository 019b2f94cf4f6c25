"""tiny-llama and tiny-starcoder: models of about a million parameters, made on the spot from our own sample.

Each has a tokenizer of its family's kind (SentencePiece BPE with byte fallback; byte-level BPE with StarCoder's special
tokens), random weights from a fixed seed, and lies in a cache folder. They need no network and no GPU: the demo, the
tests and a first try of every command run on them. They know nothing until they are trained.
"""

import functools
import io
import json
import os
from pathlib import Path

from codetune import files
from codetune.cli import UserError
from codetune.sequences import prompts
from codetune.text import pieces

NAMES = ("tiny-llama", "tiny-starcoder")
SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample.json"
VOCABULARY = 2048
SEED = 20231
STARCODER_SPECIALS = (
    "<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<filename>", "<gh_stars>",
    "<issue_start>", "<issue_comment>", "<issue_closed>", "<jupyter_start>", "<jupyter_text>", "<jupyter_code>",
    "<jupyter_output>", "<empty_output>", "<commit_before>", "<commit_msg>", "<commit_after>", "<reponame>",
)  # fmt: skip


def cache():
    """$CODETUNE_CACHE, or codetune/ in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("CODETUNE_CACHE") or Path(base) / "codetune")


def folder(name: str) -> Path:
    """The folder of a tiny model, made if this recipe was not run before (seconds)."""
    if not SAMPLE.is_file():
        raise UserError(f"{name} is made from {SAMPLE}, which is not there; restore it")
    recipe = (SAMPLE, Path(__file__), Path(pieces.__file__), prompts.FOLDER / "alpaca.json")
    path = cache() / f"{name}-{files.sha256(*(part.read_bytes() for part in recipe))[:10]}"
    if not (path / "model.safetensors").is_file():
        with files.whole_folder(path, last=["model.safetensors"]) as partial:
            {"tiny-llama": make_llama, "tiny-starcoder": make_starcoder}[name](partial)
    return path


@functools.cache
def texts():
    """The sample as a model will see it: prompts and answers."""
    template = prompts.load("alpaca")
    rows = json.loads(SAMPLE.read_text(encoding="utf-8"))
    return [template.prompt(row["instruction"], row["input"]) + row["output"] for row in rows]


def make_llama(path):
    import sentencepiece
    import transformers

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for text in texts() for line in text.split("\n") if line]),
        model_writer=model,
        model_type="bpe",
        vocab_size=VOCABULARY,
        byte_fallback=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        split_digits=True,
        num_threads=1,
        minloglevel=2,
    )
    (path / "tokenizer.model").write_bytes(model.getvalue())
    write_tokenizer_config(path, bos="<s>", eos="</s>", unk="<unk>", add_bos_token=True)
    pieces.as_tokenizer(path / "tokenizer.model", {}).save(str(path / "tokenizer.json"))
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        bos_token_id=1,
        eos_token_id=2,
    )
    write_model(path, transformers.LlamaForCausalLM, config)


def make_starcoder(path):
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(STARCODER_SPECIALS), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts(), trainer)
    tokenizer.save(str(path / "tokenizer.json"))
    end = STARCODER_SPECIALS[0]
    write_tokenizer_config(path, bos=end, eos=end, unk=end, additional_special_tokens=list(STARCODER_SPECIALS))
    config = transformers.GPTBigCodeConfig(
        vocab_size=tokenizer.get_vocab_size(),
        n_positions=1024,
        n_embd=128,
        n_layer=3,
        n_head=4,
        n_inner=512,
        multi_query=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    write_model(path, transformers.GPTBigCodeForCausalLM, config)


def write_tokenizer_config(path, bos, eos, unk, **more):
    tokens = {"bos_token": bos, "eos_token": eos, "unk_token": unk}
    # PreTrainedTokenizerFast keeps tokenizer.json as it is; a family's own class would rebuild it.
    content = {"tokenizer_class": "PreTrainedTokenizerFast", **tokens, "clean_up_tokenization_spaces": False, **more}
    (path / "tokenizer_config.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_model(path, kind, config):
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        kind(config).to(torch.float32).save_pretrained(path)
