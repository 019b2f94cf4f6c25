"""What several tests share: the real data, real tokenizers, a byte tokenizer, and scripts run as a person runs them."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Before torch is imported by anything: two busy-waiting thread pools make the same small training many times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("CODETUNE_CACHE", str(ROOT / ".cache"))  # tiny models are made once, not once a run
sys.path.insert(0, str(ROOT))

FAMILIES = ("llama2", "llama2-fast", "starcoder", "starcoder2", "deepseek-coder")


class ByteTokenizer:
    """Every UTF-8 byte is its own token, 256 ends a text, 257 begins one: exact, tiny, no download."""

    bos_id, eos_id, adds_bos = 257, 256, False

    def encode(self, text, continues=False):
        return list(text.encode())

    def encode_many(self, texts, continues=False):
        return [self.encode(text) for text in texts]

    def decode(self, ids):
        return bytes(index for index in ids if index < 256).decode()

    def specials(self):
        return {"<end>": 256, "<begin>": 257}


@pytest.fixture
def byte_tokenizer():
    return ByteTokenizer()


@pytest.fixture(scope="session")
def data():
    """The folder of real data, which lies outside the repository for its licences."""
    folder = Path(os.environ.get("CODETUNE_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set CODETUNE_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def load_tokenizer(data):
    from codetune.text import tokenizers

    return functools.cache(lambda name: tokenizers.load(data / "tokenizers" / name))


@pytest.fixture(params=FAMILIES)
def real_tokenizer(request, load_tokenizer):
    return load_tokenizer(request.param)


@pytest.fixture(scope="session")
def real_rows(data):
    """Every 20th row of the small Code Alpaca: 101 rows in all kinds of languages."""
    return json.loads((data / "code_alpaca_2k.json").read_text(encoding="utf-8"))[::20]


@pytest.fixture
def run_python():
    """run_python("data/preprocess.py", "--help") -> the finished process, run in the repository's root."""

    def run(*arguments, **options):
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=120, **options
        )

    return run
