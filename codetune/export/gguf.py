"""The GGUF file: merged tensors, quantised one at a time, with all that llama.cpp must know of network and tokenizer.

No compiler and no llama.cpp is needed to write it; llama.cpp is needed to run it (`--verify` does, through xllamacpp).
"""

import os
from pathlib import Path

import gguf
import numpy as np

from codetune import files
from codetune.export import tensors, vocabulary
from codetune.training import models

KINDS = {  # --quantization -> (how matrices are stored, general.file_type)
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
WHOLE = gguf.GGMLQuantizationType.F32
BLOCK = 32  # weights that share a scale in Q8_0; shorter rows stay F16


def write(path, merged, base_folder, tokenizer, template, quantization: str, name: str, progress=None):
    """Writes `path` whole or not at all, and reads it back. progress: called with the bytes of each tensor written."""
    config = models.read_config(base_folder)
    names = tensors.name_map(config)
    plan = planned(merged, config, names, quantization)
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with files.naming_full_disk(path):
            fill(partial, merged, config, tokenizer, template, quantization, name, plan, progress)
        read_back(partial, plan)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def planned(merged, config, names, quantization):
    """[(base name, GGUF name, shape, type)] of every tensor that goes into the file."""
    kind, _ = KINDS[quantization]
    tied = config.get("tie_word_embeddings", config["model_type"] == "gpt_bigcode")
    plan = []
    for name in merged.names():
        if name.endswith(models.BUFFERS) or (tied and name == "lm_head.weight"):
            continue
        shape = merged.base.shape(name)
        plan.append((name, tensors.gguf_name(names, name), shape, stored_as(name, shape, kind)))
    return plan


def stored_as(name, shape, kind):
    """Vectors and StarCoder's positions stay F32, as llama.cpp's own converter keeps them."""
    if len(shape) == 1 or ".wpe." in name:
        return WHOLE
    if kind == gguf.GGMLQuantizationType.Q8_0 and shape[-1] % BLOCK:
        return gguf.GGMLQuantizationType.F16
    return kind


def fill(path, merged, config, tokenizer, template, quantization, name, plan, progress):
    writer = gguf.GGUFWriter(path, tensors.ARCHITECTURES[config["model_type"]])
    try:
        writer.add_name(name)
        writer.add_file_type(KINDS[quantization][1])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        tensors.add_hyperparameters(writer, config)
        vocabulary.add(writer, tokenizer, config["vocab_size"], template)
        for _, gguf_name, shape, kind in plan:
            writer.add_tensor_info(gguf_name, shape, np.dtype(np.float32), size_of(shape, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for base_name, _, shape, kind in plan:
            array = tensors.arranged(base_name, merged.exact(base_name).numpy(), config)
            writer.write_tensor_data(gguf.quants.quantize(np.ascontiguousarray(array), kind))
            if progress:
                progress(size_of(shape, kind))
    finally:
        writer.close()


def size_of(shape, kind):
    """Bytes of a tensor; `kind` stores blocks of `weights` weights in `size` bytes."""
    weights, size = gguf.GGML_QUANT_SIZES[kind]
    return int(np.prod(shape)) // weights * size


def size_of_plan(merged, base_folder, quantization):
    config = models.read_config(base_folder)
    return sum(
        size_of(shape, kind) for *_, shape, kind in planned(merged, config, tensors.name_map(config), quantization)
    )


def read_back(path, plan):
    """Every tensor stands in the file with its name, shape and type. Raises RuntimeError."""
    found = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    for _, name, shape, kind in plan:
        tensor = found.get(name)
        if tensor is None or tuple(reversed(tensor.shape.tolist())) != shape or tensor.tensor_type != kind:
            raise RuntimeError(f"{path}: {name} is not in the file as it was written")
