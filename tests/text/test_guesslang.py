"""Guesslang in NumPy answers what guesslang on TensorFlow answered."""

import gzip
import itertools
import json
import random

import numpy as np
import pytest

from codetune.text import guesslang

K0, K2, WRAP = 0xC3A5C85C97CB3127, 0x9AE16A3B2F90404F, (1 << 64) - 1  # farmhash.cc's k0 and k2


def fingerprint(first, second):
    """FarmHash's Fingerprint64 of three bytes, HashLen0to16's last branch, in Python's own integers."""
    a, b, c = first, ord(" "), second
    y, z = a + (b << 8), 3 + (c << 2)
    mixed = (y * K2 & WRAP) ^ (z * K0 & WRAP)
    return (mixed ^ (mixed >> 47)) * K2 & WRAP


@pytest.fixture(scope="module")
def stored():
    with np.load(guesslang.WEIGHTS) as arrays:
        return {name: array if name == "languages" else array.astype(np.float64) for name, array in arrays.items()}


def plainly(text, w):
    """The probabilities of one text, one bigram at a time, in float64."""
    embedded, wide, pairs = np.zeros(70), np.zeros(54), 0
    for first, second in itertools.pairwise(text.encode()[:10_001]):
        bucket = fingerprint(first, second) % 5_000
        embedded, wide, pairs = embedded + w["embedding"][bucket], wide + w["linear"][bucket], pairs + 1
    hidden = np.maximum(embedded / max(pairs, 1) @ w["hidden_0"] + w["hidden_0_bias"], 0)
    hidden = np.maximum(hidden @ w["hidden_1"] + w["hidden_1_bias"], 0)
    scores = hidden @ w["logits"] + w["logits_bias"] + wide + w["linear_bias"]
    exponentials = np.exp(scores - scores.max())
    return exponentials / exponentials.sum()


@pytest.fixture(scope="module")
def golden(data):
    """(texts with what guesslang 2.2.1 said of them, its probabilities)"""
    with gzip.open(data / "guesslang" / "golden_texts.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    with np.load(data / "guesslang" / "golden_probs.npz") as arrays:
        sound = [index for index, row in enumerate(rows) if not row["error"]]
        return [rows[index] for index in sound], arrays["probs"][sound], arrays["classes"].tolist()


def test_the_languages_stand_in_the_original_s_order(golden):
    assert guesslang.languages() == golden[2]


def test_every_golden_label_is_the_original_s(golden):
    rows = golden[0]
    assert len(rows) == 7_880
    assert guesslang.names([row["text"] for row in rows]) == [row["language"] for row in rows]


def test_every_golden_probability_is_the_original_s(golden):
    rows, expected, _ = golden
    difference = np.abs(guesslang.probabilities([row["text"] for row in rows]) - expected).max(axis=1)
    # Thousands of equal bytes add up one float32 weight: TensorFlow's own rounding shows there.
    allowed = [2e-4 if len(row["text"]) >= 9_999 and len(set(row["text"])) == 1 else 2e-5 for row in rows]
    assert allowed.count(2e-4) == 2
    assert (difference < allowed).all()


def varied_texts():
    rng = random.Random(0)
    letters = "abc xyz_()=:;{}\n\t0123é好😀"
    return [
        "",
        "a",
        " ",
        "\0",
        "\0\0\0\0",
        "a\0b",
        "def f(x):\n    return x + 1\n",
        "é",
        "好" * 40,
        *("".join(rng.choices(letters, k=length)) for length in (2, 3, 50, 700)),
        "x = 1\n" * 1_666 + "abcde",  # 10,001 bytes
        "".join(rng.choices(letters, k=10_002)),
        "a" * 9_999 + "é",  # the end cuts a letter of two bytes
        "for (;;) {}\n" * 2_000,
    ]


def test_batches_answer_what_one_bigram_at_a_time_answers(stored):
    texts = varied_texts()
    expected = np.array([plainly(text, stored) for text in texts])
    difference = np.abs(guesslang.probabilities(texts) - expected).max(axis=1)
    # float32 against float64: 10,000 linear weights add up to scores of hundreds.
    assert (difference < [4e-6 if len(text.encode()) > 10_000 else 1e-6 for text in texts]).all()


def test_a_batch_answers_what_its_texts_answer_alone():
    texts = [f"{'y' * (index % 7)}int x{index} = {index};" for index in range(300)]  # more than two batches
    alone = np.vstack([guesslang.probabilities([text]) for text in texts])
    assert np.abs(guesslang.probabilities(texts) - alone).max() < 1e-6


def test_every_bucket_is_farmhash_s():
    expected = [fingerprint(*divmod(pair, 256)) % 5_000 for pair in range(65_536)]
    assert guesslang.pair_buckets().tolist() == expected


def test_nothing_after_10_001_bytes_counts():
    text = "def f():\n    pass\n" * 600
    assert len(text) > 10_001
    cut, whole, other = guesslang.probabilities([text[:10_001], text, text[:10_001] + "<html>" * 500])
    assert (cut == whole).all() and (cut == other).all()


def test_a_nul_counts_like_any_byte():
    with_nul, without = guesslang.probabilities(["int x\0;", "int x;"])
    assert not np.allclose(with_nul, without)


def test_every_row_of_probabilities_sums_to_1():
    assert np.allclose(guesslang.probabilities(varied_texts()).sum(axis=1), 1, atol=1e-6)


def test_no_texts_have_no_rows():
    assert guesslang.probabilities([]).shape == (0, 54)
    assert guesslang.names([]) == []


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u00a0"])
def test_a_blank_text_has_no_language(text):
    assert guesslang.names([text]) == [None]


def test_a_language_must_stand_out_by_two_standard_deviations():
    flat = np.full((1, 54), 1 / 54, np.float32)
    peak = flat.copy()
    peak[0, 3] += 0.5
    assert guesslang.names(["x"], flat) == [None]
    assert guesslang.names(["x"], peak) == [guesslang.languages()[3]]


def test_the_deviation_is_that_of_a_sample():
    # The highest of these stands out by 2.01 deviations where they are divided by 54, by 1.99 divided by 53.
    rows = np.array([[1.0] * 7 + [0.5] * 17 + [0.0] * 30], np.float32)
    assert guesslang.names(["x"], rows) == [None]


def test_a_lone_surrogate_raises():
    with pytest.raises(ValueError, match="surrogate"):
        guesslang.probabilities(["fine", "\ud83d"])
