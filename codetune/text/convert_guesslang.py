"""Make guesslang.npz from the guesslang 2.2.1 wheel, whose own code needs a TensorFlow that no current Python installs.

    pip download --no-deps guesslang==2.2.1
    python codetune/text/convert_guesslang.py guesslang-2.2.1-py3-none-any.whl

The wheel holds a TensorFlow SavedModel: its checkpoint is a TensorBundle, an index in LevelDB's table format beside one
file of raw little-endian tensors. Formats: tensorflow/core/protobuf/tensor_bundle.proto and
https://github.com/google/leveldb/blob/main/doc/table_format.md
"""

import json
import sys
import zipfile
from pathlib import Path

import numpy as np

MODEL = "guesslang/data/model/variables/variables."
EMBEDDING = "dnn/input_from_feature_columns/input_layer/content_embedding/embedding_weights"
TENSORS = {  # name in guesslang.npz -> name in the checkpoint
    "embedding": EMBEDDING,  # (5000, 70)
    "linear": "linear/linear_model/content/weights",  # (5000, 54)
    "linear_bias": "linear/linear_model/bias_weights",  # (54,)
    "hidden_0": "dnn/hiddenlayer_0/kernel",  # (70, 512)
    "hidden_0_bias": "dnn/hiddenlayer_0/bias",
    "hidden_1": "dnn/hiddenlayer_1/kernel",  # (512, 32)
    "hidden_1_bias": "dnn/hiddenlayer_1/bias",
    "logits": "dnn/logits/kernel",  # (32, 54)
    "logits_bias": "dnn/logits/bias",
}
FOOTER = 48  # bytes: two block handles, padding, magic
WIRE_VARINT, WIRE_BYTES, WIRE_FIXED32 = 0, 2, 5


def varint(data, at):
    """-> (value, position after it)"""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def block_entries(data, offset, size):
    """The (key, value) pairs of one uncompressed LevelDB block; keys share prefixes with the one before."""
    restarts = int.from_bytes(data[offset + size - 4 : offset + size], "little")
    at, end, key = offset, offset + size - 4 * (restarts + 1), b""
    while at < end:
        shared, at = varint(data, at)
        unshared, at = varint(data, at)
        length, at = varint(data, at)
        key = key[:shared] + data[at : at + unshared]
        yield key.decode(), data[at + unshared : at + unshared + length]
        at += unshared + length


def index_entries(data):
    """Every (key, value) of a table: the footer names the index block, which names the data blocks."""
    at = len(data) - FOOTER
    for _ in range(2):  # the meta index's handle: offset and size
        _, at = varint(data, at)
    offset, at = varint(data, at)
    size, at = varint(data, at)
    for _, handle in block_entries(data, offset, size):
        block_offset, after = varint(handle, 0)
        block_size, _ = varint(handle, after)
        yield from block_entries(data, block_offset, block_size)


def message(data):
    """A protobuf message as {field number: [values]}; varints as int, the rest as bytes."""
    fields, at = {}, 0
    while at < len(data):
        tag, at = varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == WIRE_VARINT:
            value, at = varint(data, at)
        else:
            length, at = varint(data, at) if wire == WIRE_BYTES else (4, at)
            value, at = data[at : at + length], at + length
        fields.setdefault(number, []).append(value)
    return fields


def tensor(entry, raw):
    """A BundleEntryProto (dtype 1, shape 2, offset 4, size 5) -> its float32 array out of `raw`."""
    fields = message(entry)
    dimensions = message(fields[2][0]).get(2, [])
    shape = [message(dimension)[1][0] for dimension in dimensions]
    offset, size = fields.get(4, [0])[0], fields[5][0]
    return np.frombuffer(raw[offset : offset + size], "<f4").reshape(shape)


def convert(wheel, target):
    with zipfile.ZipFile(wheel) as archive:
        entries = dict(index_entries(archive.read(MODEL + "index")))
        raw = archive.read(MODEL + "data-00000-of-00001")
        languages = json.loads(archive.read("guesslang/data/languages.json"))
        licence = archive.read("guesslang-2.2.1.dist-info/LICENSE")
    arrays = {name: tensor(entries[key], raw) for name, key in TENSORS.items()}
    np.savez(target, languages=np.array(list(languages)), **arrays)
    target.with_name("guesslang_LICENSE").write_bytes(licence)


if __name__ == "__main__":
    convert(sys.argv[1], Path(__file__).with_name("guesslang.npz"))
