"""LoRA adapters: attached, saved and read back, loaded on the model they belong to."""

import math
from pathlib import Path

from codetune import files
from codetune.cli import UserError
from codetune.text import tokenizers
from codetune.training import weights

AUTO = {"llama": ["q_proj", "v_proj"], "gpt_bigcode": ["c_attn"]}
OWNED = (*weights.FILES, *tokenizers.FILES)  # what goes from a folder when another model or adapter moves in
MADE = "codetune.json"  # what a later stage must know; written last, it proves the folder complete


def targets(model, wanted: list[str]):
    """What PEFT is to adapt: `auto`, `all-linear`, or names of linear layers. Raises UserError."""
    if list(wanted) == ["auto"]:
        return AUTO[model.config.model_type]
    if list(wanted) == ["all-linear"]:
        return "all-linear"
    names = linear_names(model)
    unknown = [name for name in wanted if name not in names]
    if unknown or not wanted:
        named = f"no linear layer {unknown[0]!r} in this model" if unknown else "no layer named"
        raise UserError(f"--lora_target_modules: {named}; there are: {', '.join(names)} (or auto, all-linear)")
    return list(wanted)


def linear_names(model):
    """["c_attn", "c_fc", "c_proj"]: the last parts of the names of linear layers, the head left out."""
    import torch

    head = model.get_output_embeddings()
    found = {n.rsplit(".", 1)[-1] for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and m is not head}
    return sorted(found)


def ready(model, bits: int, gradient_checkpointing: bool):
    """Frozen base weights that gradients can pass through."""
    import peft

    if bits < 16:
        return peft.prepare_model_for_kbit_training(
            model,
            use_gradient_checkpointing=gradient_checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": False},
        )
    if gradient_checkpointing:
        model.enable_input_require_grads()
    return model


def attach(model, rank: int, alpha: float, dropout: float, modules: list[str], base: str):
    """The model with trainable LoRA layers of rank `rank`, scaled by alpha / rank; PEFT notes `base`."""
    import peft

    if rank < 1 or not 0 <= dropout < 1:
        raise UserError(f"--lora_r {rank} must be at least 1 and --lora_dropout {dropout} in [0, 1)")
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=targets(model, modules),
        bias="none",
        task_type="CAUSAL_LM",
    )
    model = peft.get_peft_model(model, config)
    model.peft_config["default"].base_model_name_or_path = base
    return model


def save(model, folder: Path, made: dict):
    """PEFT's files and codetune.json, checked first. Raises RuntimeError if nothing was trained."""
    with files.whole_folder(folder, last=[MADE], owned=OWNED) as partial:
        model.save_pretrained(partial)
        (partial / "README.md").unlink(missing_ok=True)  # PEFT's model card, a form with nothing filled in
        check_trained(partial, adapted_layers(model))
        write_made(partial, made)


def write_made(folder: Path, made: dict):
    files.write_json(folder / MADE, made)


def adapted_layers(model):
    """How many layers carry a LoRA pair."""
    return sum(name.endswith("lora_A") for name, _ in model.named_modules())


def check_trained(folder: Path, layers: int):
    """Reads the file back: every layer's pair is there, finite, and B, which starts as zeros, has moved."""
    import torch
    from safetensors.torch import load_file

    saved = load_file(folder / "adapter_model.safetensors")
    pairs = [name for name in saved if "lora_B" in name]
    if len(pairs) != layers or len(saved) != 2 * layers:
        raise RuntimeError(f"{folder}: {len(saved)} tensors saved for {layers} adapted layers, expected {2 * layers}")
    broken = [name for name, tensor in saved.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise RuntimeError(f"{folder}: {len(broken)} of {len(saved)} tensors hold nan or infinity: {broken[0]}")
    still = [name for name in pairs if not saved[name].any()]
    if still:
        raise RuntimeError(
            f"{folder}: {len(still)} of {layers} LoRA layers are all zero, so they learnt nothing: {still[0]}"
        )


def read_made(folder) -> dict:
    """codetune.json of an adapter or of a fully tuned model; {} where there is none (another kit's adapter)."""
    path = Path(folder) / MADE
    made = files.read_json(path, "record", dict) if path.is_file() else {}
    wrong = [
        key for key, kind in (("base_model", str), ("template", dict)) if not isinstance(made.get(key, kind()), kind)
    ]
    if wrong:
        raise UserError(f"{path}: {wrong[0]} is {made[wrong[0]]!r}; restore the file, or delete it and give the flags")
    return made


def read_config(folder) -> dict:
    """adapter_config.json. Raises UserError where the folder holds no adapter."""
    folder = Path(folder)
    if not (folder / "adapter_config.json").is_file():
        raise UserError(
            f"--lora_weights={folder}: no adapter_config.json there; name the folder that finetune.py wrote"
        )
    if not (folder / "adapter_model.safetensors").is_file():
        raise UserError(f"{folder}: no adapter_model.safetensors beside adapter_config.json; the adapter is not whole")
    config = files.read_json(folder / "adapter_config.json", "adapter configuration", dict)
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if config.get("peft_type") != "LORA":
        raise UserError(f"{folder}: an adapter of type {config.get('peft_type')}; codetune reads LoRA")
    if not (isinstance(rank, int) and rank > 0 and isinstance(alpha, int | float) and math.isfinite(alpha)):
        raise UserError(f"{folder}: adapter_config.json gives r {rank!r} and lora_alpha {alpha!r}, which are no LoRA's")
    return config


def check_base(folder, base_folder, other_base: bool = False):
    """Stops an adapter on a base model that it does not fit, or (unless other_base) was not trained on."""
    rank, made = read_config(folder)["r"], read_made(folder)
    base, saved = weights.Weights(base_folder), weights.Weights(Path(folder) / "adapter_model.safetensors")
    check_pairs(folder, saved, rank)
    for name in saved.names():
        if ".lora_A." not in name and ".lora_B." not in name:
            continue
        target = base_name(name)
        axis = 1 if ".lora_A." in name else 0  # A: (rank, in), B: (out, rank); a weight: (out, in)
        if target not in base.where or base.shape(target)[axis : axis + 1] != saved.shape(name)[axis : axis + 1]:
            whose = f" ({made['base_model']})" if made.get("base_model") else ""
            raise UserError(
                f"{folder} is an adapter for another base model{whose}: {base_folder} has no fitting {target}"
            )
    expected = made.get("base_fingerprint")
    if expected and not other_base and weights.fingerprint(base_folder) != expected:
        raise UserError(
            f"{folder} was trained on another base model ({made.get('base_model')}), whose weights differ from "
            f"those in {base_folder}; give that one as --base_model, or add --other_base to mix them on purpose"
        )


def check_pairs(folder, saved, rank):
    """Every A has its B, of the rank that adapter_config.json names, and their numbers are finite. Raises UserError.

    A rank that was edited would scale wrongly, and a missing half would be random, both without a word from PEFT.
    """
    import torch

    names = set(saved.names())
    pairs = {name.replace(".lora_B.", ".lora_A.") for name in names if ".lora_A." in name or ".lora_B." in name}
    if not pairs:
        raise UserError(f"{folder}: adapter_model.safetensors holds no LoRA matrices; the adapter is empty")
    for down in sorted(pairs):
        up = down.replace(".lora_A.", ".lora_B.")
        if down not in names or up not in names:
            raise UserError(f"{folder}: {up if down in names else down} is missing; the adapter is not whole")
        if saved.shape(down)[:1] != (rank,) or saved.shape(up)[1:] != (rank,):
            raise UserError(f"{folder}: {down} has the shape {saved.shape(down)}, adapter_config.json the rank {rank}")
        if not all(torch.isfinite(saved.get(name)).all() for name in (down, up)):
            raise UserError(f"{folder}: {down} holds nan or infinity; its training diverged")


def base_name(name: str) -> str:
    """ "base_model.model.lm.q_proj.lora_A.weight" -> "lm.q_proj.weight", the base model's own name"""
    return name.removeprefix("base_model.model.").replace(".lora_A.", ".").replace(".lora_B.", ".")


def load(model, folder):
    """The base model with the adapter on it, for inference."""
    import peft

    try:
        return peft.PeftModel.from_pretrained(model, str(folder)).eval()
    except (RuntimeError, ValueError, TypeError) as error:
        raise UserError(f"{folder}: the adapter does not load: {str(error).splitlines()[0]}") from None
