"""An adapter becomes part of the weights: W + B @ A * scale, added in float32 and rounded once.

Tensors are read one at a time; for hf a shard is in memory until it is written. What is merged into are the base's own
16-bit weights, whatever precision the adapter was trained beside.
"""

import math
from pathlib import Path

from codetune import files
from codetune.cli import UserError
from codetune.training import adapters, models, weights

# What PEFT can do and this merge does not do yet; merging such an adapter as if it were plain would be silently wrong.
UNSUPPORTED = {
    "use_dora": False, "fan_in_fan_out": False, "bias": "none", "modules_to_save": None, "rank_pattern": {},
    "alpha_pattern": {}, "lora_bias": False, "trainable_token_indices": None, "layer_replication": None,
}  # fmt: skip


LAST = ["model.safetensors.index.json", "config.json", adapters.MADE]


class Merged:
    """The tensors of a base model with an adapter (or None) added, by the base's names."""

    def __init__(self, base_folder, lora_weights=None):
        self.base = weights.Weights(base_folder)
        self.pairs, self.scale, self.adapter = {}, 1.0, None
        if lora_weights:
            config = adapters.read_config(lora_weights)
            self.scale = scale_of(config, lora_weights)
            self.adapter = weights.Weights(Path(lora_weights) / "adapter_model.safetensors")
            self.pairs = pairs_of(self.adapter.names(), lora_weights)
            missing = [name for name in self.pairs if name not in self.base.where]
            if missing:
                raise UserError(
                    f"{lora_weights}: adapts {missing[0]}, which {base_folder} does not have; wrong base model?"
                )

    def names(self):
        return self.base.names()

    def exact(self, name):
        """The tensor as float32, on the CPU."""
        import torch

        weight = self.base.get(name).to(torch.float32)
        if name in self.pairs:
            down, up = (self.adapter.get(part).to(torch.float32) for part in self.pairs[name])
            weight = weight + up @ down * self.scale  # (out, rank) @ (rank, in)
            if not torch.isfinite(weight).all():
                raise UserError(
                    f"{self.adapter.folder}: merged into {name} gives nan or infinity; its training diverged"
                )
        return weight

    def stored(self, name):
        """The tensor in the base's own dtype; bit for bit the base's where the adapter does not reach."""
        if name not in self.pairs:
            return self.base.get(name)
        return self.exact(name).to(self.base.dtype(name))


def scale_of(config, lora_weights):
    """alpha / rank, or alpha / sqrt(rank) for rsLoRA (Kalajdzievski 2023, arXiv:2312.03732). Raises UserError."""
    for key, plain in UNSUPPORTED.items():
        if config.get(key) not in (plain, None, [], {}):
            raise UserError(f"{lora_weights}: merging an adapter with {key}={config[key]} is not supported yet")
    if config.get("peft_type") != "LORA":
        raise UserError(f"{lora_weights}: a {config.get('peft_type')} adapter; only LoRA can be merged")
    rank = config["r"]
    return config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)


def pairs_of(names, lora_weights):
    """{base weight: (name of A, name of B)}"""
    others = [name for name in names if not name.endswith((".lora_A.weight", ".lora_B.weight"))]
    if others:
        raise UserError(
            f"{lora_weights}: holds {others[0]}, which is no LoRA matrix of a linear layer; cannot merge it"
        )
    downs = [name for name in names if name.endswith(".lora_A.weight")]
    return {adapters.base_name(name): (name, name.replace(".lora_A.", ".lora_B.")) for name in downs}


def write_hf(merged: Merged, base_folder: Path, export_dir: Path, made: dict, progress=iter):
    """Shards as the base has them, config.json and tokenizer files as they are, the index last."""
    from safetensors.torch import save_file

    shards = merged.base.files()
    by_file = {file: [name for name, where in merged.base.where.items() if where == file] for file in shards}
    targets = {file: shard_name(number, len(shards)) for number, file in enumerate(shards, 1)}
    index = {name: targets[file] for name, file in merged.base.where.items()}
    size = 0
    with files.whole_folder(export_dir, last=LAST, owned=adapters.OWNED) as partial:
        for file in progress(shards):
            tensors = {name: unshared(merged, name) for name in by_file[file]}
            size += sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
            save_file(tensors, partial / targets[file], metadata={"format": "pt"})
        if len(shards) > 1:
            content = {"metadata": {"total_size": size}, "weight_map": index}
            files.write_json(partial / "model.safetensors.index.json", content)
        models.copy_tokenizer(base_folder, partial)
        (partial / "config.json").write_bytes((Path(base_folder) / "config.json").read_bytes())
        adapters.write_made(partial, made)


def unshared(merged, name):
    """A tensor of its own: older .bin files hold tied weights twice in one memory, which safetensors refuses."""
    tensor = merged.stored(name).contiguous()
    return tensor.clone() if merged.base.where[name].endswith(".bin") else tensor


def shard_name(number, total):
    """(2, 3) -> "model-00002-of-00003.safetensors" """
    return "model.safetensors" if total == 1 else f"model-{number:05d}-of-{total:05d}.safetensors"
