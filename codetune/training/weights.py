"""The tensors of a model folder, one at a time: a safetensors file, its shards, or an older pytorch_model.bin.

Nothing is read before it is asked for. Pickles are opened with weights_only, so that a downloaded file runs no code.
"""

import functools
import json
import struct
from pathlib import Path

from codetune import files
from codetune.cli import UserError

# What a model's or an adapter's folder consists of, beside its tokenizer: a new one replaces all of an old one's
FILES = (
    "config.json", "model*.safetensors", "model.safetensors.index.json", "pytorch_model*.bin",
    "pytorch_model.bin.index.json", "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin",
)  # fmt: skip
FINGERPRINT_BYTES = 64  # of each tensor's beginning


class Weights:
    """Names and tensors of a checkpoint: a folder's, or one file's. Raises UserError where there is none."""

    def __init__(self, path):
        path = Path(path)
        self.folder = path.parent if path.is_file() else path
        # tensor name -> file name
        self.where = dict.fromkeys(open_file(path).keys(), path.name) if path.is_file() else placement(path)

    def names(self):
        return list(self.where)

    def files(self):
        """The file names in order; all the tensors of one lie together in `names`."""
        return list(dict.fromkeys(self.where.values()))

    def get(self, name):
        """The tensor, on the CPU, in the dtype it is stored in."""
        return open_file(self.folder / self.where[name]).get_tensor(name)

    def shape(self, name):
        return tuple(open_file(self.folder / self.where[name]).shape(name))

    def dtype(self, name):
        return open_file(self.folder / self.where[name]).dtype(name)


def placement(folder):
    """{tensor name: file name} by the index, or by the one file."""
    for kind in ("model.safetensors", "pytorch_model.bin"):
        index = folder / f"{kind}.index.json"
        if index.is_file():
            where = files.read_json(index, "index", dict).get("weight_map")
            if not isinstance(where, dict):
                raise UserError(f"{index}: has no weight_map; download it again")
            missing = sorted({name for name in where.values() if not (folder / name).is_file()})
            if missing:
                raise UserError(f"{folder}: {missing[0]} is missing ({len(missing)} of the shards); download it again")
            return where
        if (folder / kind).is_file():
            return dict.fromkeys(open_file(folder / kind).keys(), kind)
    raise UserError(f"{folder}: no model.safetensors and no pytorch_model.bin; is this a model's folder?")


class Safetensors:
    def __init__(self, path):
        from safetensors import SafetensorError, safe_open

        try:
            self.file = safe_open(path, framework="pt")
        except SafetensorError as error:
            raise UserError(f"{path}: not a whole safetensors file ({error}); write or download it again") from None

    def keys(self):
        return list(self.file.keys())

    def get_tensor(self, name):
        return self.file.get_tensor(name)

    def shape(self, name):
        return self.file.get_slice(name).get_shape()

    def dtype(self, name):
        import torch

        short = self.file.get_slice(name).get_dtype()
        floats = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
        return floats[short] if short in floats else self.file.get_tensor(name).dtype


class Pickled:
    def __init__(self, path):
        import pickle

        import torch

        try:
            self.tensors = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            first = str(error).splitlines()[0]
            raise UserError(f"{path}: not readable as tensors without running its code: {first}") from None

    def keys(self):
        return list(self.tensors)

    def get_tensor(self, name):
        return self.tensors[name]

    def shape(self, name):
        return self.tensors[name].shape

    def dtype(self, name):
        return self.tensors[name].dtype


def open_file(path):
    return _open(Path(path), Path(path).stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _open(path, changed):
    return Pickled(path) if path.suffix == ".bin" else Safetensors(path)


def fingerprint(folder):
    """A short name for exactly these weights: tensor names, shapes, dtypes and the first bytes of each.

    Reads a few kilobytes whatever the model's size. Two downloads of one model agree; one step of training differs.
    """
    folder = Path(folder)
    parts = []
    for file in Weights(folder).files():
        parts += beginnings(folder / file)
    return files.sha256(*sorted(parts))[:16]


def beginnings(path):
    """One byte string for each tensor of a safetensors file, or one for a whole .bin (its size and first bytes)."""
    with path.open("rb") as file:
        if path.suffix == ".bin":
            return [f"{path.name} {path.stat().st_size}".encode() + file.read(FINGERPRINT_BYTES)]
        length = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(length))
        found = []
        for name, tensor in header.items():
            if name != "__metadata__":
                file.seek(8 + length + tensor["data_offsets"][0])
                size = min(FINGERPRINT_BYTES, tensor["data_offsets"][1] - tensor["data_offsets"][0])
                found.append(f"{name} {tensor['shape']} {tensor['dtype']}".encode() + file.read(size))
        return found
