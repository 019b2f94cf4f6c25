"""Guesslang's language model in NumPy: which of 54 languages a text is written in, without TensorFlow.

guesslang 2.2.1 counts byte pairs and feeds them to a wide-and-deep classifier; the published CodeUp data was filtered
by it. Its weights (MIT, guesslang_LICENSE) lie in guesslang.npz, made by convert_guesslang.py. Labels equal the
original's, probabilities within 2e-5. Short texts are a gamble: the answer for a text of a few words means little, and
"INI" or "Batchfile" at 5 % means nothing.
"""

import functools
from pathlib import Path

import numpy as np

WEIGHTS = Path(__file__).with_name("guesslang.npz")
MOST_BYTES = 10_001  # 10,000 byte pairs are looked at
BATCH = 128  # texts whose pairs are counted together
BUCKETS = 5_000
# farmhash.cc, namespace farmhashna: k0, k2 and HashLen0to16's branch for 1 to 3 bytes
# https://github.com/google/farmhash/blob/0d859a811870d10f53a594927d0d0b97573ad06d/src/farmhash.cc#L414
K0, K2 = np.uint64(0xC3A5C85C97CB3127), np.uint64(0x9AE16A3B2F90404F)


@functools.cache
def pair_buckets():
    """(65536,) int64: Fingerprint64(first byte, space, second byte) modulo 5,000, at first * 256 + second."""
    first, second = np.divmod(np.arange(1 << 16, dtype=np.uint64), np.uint64(256))
    y = first + np.uint64(ord(" ") << 8)
    z = np.uint64(3) + (second << np.uint64(2))
    mixed = y * K2 ^ z * K0  # wraps modulo 2**64, as the original does
    return ((mixed ^ (mixed >> np.uint64(47))) * K2 % np.uint64(BUCKETS)).astype(np.int64)


@functools.cache
def weights():
    """The arrays of guesslang.npz; `per_pair` joins the embedding and the linear part: (5000, 70 + 54)."""
    with np.load(WEIGHTS, allow_pickle=False) as stored:
        arrays = dict(stored)
    arrays["per_pair"] = np.hstack([arrays.pop("embedding"), arrays.pop("linear")])
    return arrays


def languages():
    """The 54 names, in the order of a row of `probabilities`."""
    return weights()["languages"].tolist()


def probabilities(texts):
    """(len(texts), 54) float32, each row sums to 1. Raises UnicodeEncodeError on a lone surrogate."""
    batches = [pair_sums(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)]
    return np.vstack([classify(*batch) for batch in batches]) if batches else np.empty((0, 54), np.float32)


def pair_sums(texts):
    """-> the sum of `per_pair` over the byte pairs of each text, (B, 124), and the number of pairs, (B,)"""
    encoded = [text[:MOST_BYTES].encode()[:MOST_BYTES] for text in texts]
    lengths = np.array([len(data) for data in encoded])
    joined = np.frombuffer(b"".join(encoded) + b"\0", np.uint8)
    pairs = pair_buckets()[joined[:-1].astype(np.int64) * 256 + joined[1:]]
    owner = np.repeat(np.arange(len(texts)), lengths)
    last = np.cumsum(lengths)[lengths > 0] - 1
    inside = np.ones(len(pairs), bool)
    inside[last] = False  # a pair does not reach into the next text
    pairs, owner = pairs[inside], owner[inside]
    # Only some of the 5,000 buckets occur in a batch: a product over those is several times smaller.
    occurs = np.zeros(BUCKETS, bool)
    occurs[pairs] = True
    rank = np.cumsum(occurs) - 1
    active = int(occurs.sum())
    counts = np.bincount(owner * active + rank[pairs], minlength=len(texts) * active)
    sums = counts.reshape(len(texts), active).astype(np.float32) @ weights()["per_pair"][occurs]
    return sums, np.maximum(lengths - 1, 0)


def classify(sums, pairs):
    """Wide and deep: softmax(sum of linear + mlp(mean embedding) + both biases), (B, 54)"""
    w = weights()
    width = w["hidden_0"].shape[0]
    embedded = sums[:, :width] / np.maximum(pairs, 1)[:, None].astype(np.float32)
    hidden = np.maximum(embedded @ w["hidden_0"] + w["hidden_0_bias"], 0)
    hidden = np.maximum(hidden @ w["hidden_1"] + w["hidden_1_bias"], 0)
    scores = hidden @ w["logits"] + w["logits_bias"] + sums[:, width:] + w["linear_bias"]
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def names(texts, rows=None):
    """The language of each text, as guesslang's `language_name`: None for blank text and where no language stands out.

    rows: probabilities(texts), where they are at hand.
    """
    rows = probabilities(texts) if rows is None else rows
    exact = rows.astype(np.float64)
    stands_out = exact.max(axis=1, initial=0) > exact.mean(axis=1) + 2 * exact.std(axis=1, ddof=1)
    labels = weights()["languages"][exact.argmax(axis=1)].tolist()
    sure = [bool(out and text and not text.isspace()) for text, out in zip(texts, stands_out, strict=True)]
    return [label if kept else None for label, kept in zip(labels, sure, strict=True)]
