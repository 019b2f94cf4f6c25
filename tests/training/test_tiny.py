"""The models that everything else is tried on."""

import json
import subprocess
import sys

import pytest
import sentencepiece
import transformers

from codetune.text import tokenizers
from codetune.training import models, tiny


@pytest.mark.parametrize("name", tiny.NAMES)
def test_it_has_about_a_million_parameters(name):
    _, total = models.parameters(models.load(tiny.folder(name), on="cpu"))
    assert 0.8e6 < total < 1.2e6


@pytest.mark.parametrize("name", tiny.NAMES)
def test_transformers_reads_the_same_ids_from_its_folder(name):
    theirs, ours = transformers.AutoTokenizer.from_pretrained(tiny.folder(name)), tokenizers.load(tiny.folder(name))
    for probe in tokenizers.PROBES:
        if "<s>" not in probe:  # transformers reads special tokens out of text
            assert ours.encode(probe) == theirs.encode(probe, add_special_tokens=False), probe


def test_tiny_llama_s_ids_are_sentencepiece_s_own():
    folder = tiny.folder("tiny-llama")
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    ours = tokenizers.load(folder)
    rows = json.loads(tiny.SAMPLE.read_text(encoding="utf-8"))
    assert all(ours.encode(row["output"]) == theirs.encode(row["output"]) for row in rows)


def test_tiny_starcoder_has_starcoder_s_special_tokens_in_its_places():
    tokenizer = tokenizers.load(tiny.folder("tiny-starcoder"))
    assert [tokenizer.id_of(name) for name in ("<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>")] == [
        0,
        1,
        2,
        3,
    ]
    assert tokenizer.pad_id == 4 and tokenizer.token(4) == "<fim_pad>"


@pytest.mark.slow
def test_another_process_makes_the_same_bytes(tmp_path):
    code = "import sys; from codetune.training import tiny; [tiny.folder(name) for name in tiny.NAMES]"
    for name in ("one", "two"):
        environment = {"CODETUNE_CACHE": str(tmp_path / name), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        subprocess.run([sys.executable, "-c", code], check=True, cwd=tiny.SAMPLE.parents[1], env=environment)
    one, two = (sorted((tmp_path / name).rglob("*.*")) for name in ("one", "two"))
    assert len(one) > 8 and [p.name for p in one] == [p.name for p in two]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one, two, strict=True) if a.is_file())
