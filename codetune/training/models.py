"""The base model: where it lies, on which device, in how many bits."""

import importlib.util
import logging
import os
import shutil
from pathlib import Path

from codetune import files
from codetune.cli import UserError
from codetune.text import tokenizers
from codetune.training import adapters, tiny, weights

FAMILIES = ("llama", "gpt_bigcode")  # model_type of what the loop, the merge and GGUF are tested with
PARTS = ["*.json", "tokenizer.model", "*.jinja", "merges.txt"]  # of a hub model, beside its weights
# Tensors that old checkpoints hold and nothing needs: masks and rotary frequencies, which are computed
BUFFERS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")
LARGE = 5_000_000_000  # parameters from which gradient checkpointing pays on a 24 GB card


def locate(base_model: str) -> Path:
    """The folder of a base model: its own path, a tiny model's cache folder, or a download from the hub."""
    if base_model in tiny.NAMES:
        return tiny.folder(base_model)
    path = Path(base_model).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            hint = (
                "; it holds an adapter: give it as --lora_weights" if (path / "adapter_config.json").is_file() else ""
            )
            raise UserError(f"{path}: no config.json, so this is no model's folder{hint}")
        if (path / "adapter_config.json").is_file():
            raise UserError(
                f"{path}: holds a model and an adapter, which transformers would mix; move one of them away"
            )
        return path
    if path.exists():
        raise UserError(f"--base_model={base_model} is a file; name the model's folder")
    if base_model.count("/") > 1 or base_model.startswith((".", "/", "~")):
        raise UserError(f"no model folder {base_model}")
    return download(base_model)


def download(name: str) -> Path:
    """A hub model's files, in huggingface_hub's cache. Raises UserError with the cure for what went wrong."""
    import httpx
    from huggingface_hub import errors, snapshot_download

    try:
        folder = Path(snapshot_download(name, allow_patterns=[*PARTS, "*.safetensors"]))
        if not list(folder.glob("*.safetensors")):
            folder = Path(snapshot_download(name, allow_patterns=[*PARTS, "pytorch_model*.bin"]))
        return folder
    except errors.GatedRepoError:
        raise UserError(
            f"{name} is gated: accept its licence at https://huggingface.co/{name} with your account, then log in with "
            "`hf auth login` (or set HF_TOKEN) and run this again"
        ) from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"no folder {name}, and no model of that name on the hub (or a private one: log in with `hf auth login`); "
            f"without a network use a folder, {' or '.join(tiny.NAMES)}"
        ) from None
    except errors.HFValidationError:
        raise UserError(f"no model folder {name}, and it is no hub name either") from None
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, httpx.HTTPError):
        raise UserError(
            f"no folder {name}, and the hub cannot be reached to look for it there; check the network, or use a "
            f"folder, {' or '.join(tiny.NAMES)}"
        ) from None


def read_config(folder: Path) -> dict:
    config = files.read_json(Path(folder) / "config.json", "model configuration", dict)
    if config.get("model_type") not in FAMILIES:
        raise UserError(
            f"{folder}: a model of type {config.get('model_type')!r}; so far codetune trains, serves and exports "
            f"{' and '.join(FAMILIES)}"
        )
    return config


def device() -> str:
    """cuda, mps or cpu: what is there."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def has_bf16(on: str) -> bool:
    """Whether bfloat16 is fast there. CPUs compute in float32: exact, and most have no bf16 arithmetic."""
    import torch

    if on == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return on == "mps" and torch.backends.mps.is_macos_or_newer(14, 0)


def compute_dtype(on: str, bf16: bool | None = None):
    """The 16-bit type a device computes in, or float32. bf16: what the user said, None for whatever is there."""
    import torch

    if bf16 or (bf16 is None and has_bf16(on)):
        return torch.bfloat16
    return torch.float16 if on == "cuda" else torch.float32


def default_bits(method: str, on: str) -> int:
    """8 for LoRA on CUDA, as CodeUp trained; else 16."""
    return 8 if method == "lora" and on == "cuda" else 16


def check_bits(bits: int, on: str):
    """Raises UserError where bitsandbytes cannot serve."""
    if bits == 16:
        return
    if on == "mps":
        raise UserError(f"--bits {bits} needs bitsandbytes, which has no kernels for mps; use --bits 16")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(f"--bits {bits} needs bitsandbytes: pip install bitsandbytes, or use --bits 16")


def load(folder: Path, bits: int = 16, dtype=None, on: str | None = None):
    """The causal language model in `folder` on a device, in `dtype` (or in 8 bits with `dtype` around them)."""
    import torch
    import transformers

    on = on or device()
    dtype = dtype or compute_dtype(on)
    read_config(folder)
    check_bits(bits, on)
    quantized = {}
    if bits == 8:
        quantized = {"quantization_config": transformers.BitsAndBytesConfig(load_in_8bit=True)}
    # It warns at every product whose inputs are not float16, which inside 8-bit layers it computes in.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        model, loading = transformers.AutoModelForCausalLM.from_pretrained(
            str(folder),
            dtype=dtype,
            device_map={"": on if on != "cuda" else current_cuda()},
            output_loading_info=True,
            **quantized,
        )
    except torch.OutOfMemoryError:
        raise UserError(f"{folder} does not fit the GPU in {bits} bits; free it, or take fewer --bits") from None
    except UserError:
        raise
    except Exception as error:  # a configuration that was edited fails in every way there is
        first = (str(error).splitlines() or [""])[0]
        raise UserError(f"{folder}: the model does not load ({type(error).__name__}: {first})") from error
    if loading["missing_keys"]:
        missing = sorted(loading["missing_keys"])
        raise UserError(f"{folder}: {missing[0]} is missing ({len(missing)} tensors); the model is not whole")
    model.config.use_cache = True
    return model


def check_whole(folder: Path):
    """Every tensor that the network of config.json needs is in the files, in its shape, and no other. Raises UserError.

    Makes the network without memory; a tied head may be there or not.
    """
    import torch
    import transformers

    stored = weights.Weights(folder)
    try:
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.from_pretrained(str(folder)))
    except Exception as error:  # a configuration that was edited fails in every way there is
        raise UserError(f"{folder}: config.json makes no model ({type(error).__name__}: {error})") from error
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    tied = set(model.all_tied_weights_keys)
    for name, shape in shapes.items():
        if name not in stored.where and name not in tied:
            raise UserError(f"{folder}: {name} is missing; the model is not whole")
        if name in stored.where and stored.shape(name) != shape:
            raise UserError(f"{folder}: {name} has the shape {stored.shape(name)}, config.json makes it {shape}")
    strange = [name for name in stored.names() if name not in shapes and not name.endswith(BUFFERS)]
    if strange:
        raise UserError(f"{folder}: {strange[0]} has no place in the network of config.json; they are not of one model")


def current_cuda() -> int:
    """This process's GPU: torchrun and accelerate say which by LOCAL_RANK."""
    return int(os.environ.get("LOCAL_RANK", 0))


def training_dtype(method: str, dtype):
    """LoRA's frozen weights lie in the computing dtype; trained weights need float32, or small steps are lost."""
    import torch

    return dtype if method == "lora" else torch.float32


def mixed_precision(dtype, on: str) -> dict:
    """Trainer's switches: autocast on a GPU, none where everything is float32."""
    import torch

    return {
        "bf16": dtype == torch.bfloat16,
        "fp16": dtype == torch.float16 and on == "cuda",
        "use_cpu": on == "cpu",
    }


def seed(number: int):
    import transformers

    transformers.set_seed(number)


def check_fits(folder: Path, vocabulary: int, length: int):
    """The tokenizer's ids must be rows of the embedding, and `length` tokens must have positions. Raises UserError."""
    config = read_config(folder)
    if vocabulary > config["vocab_size"]:
        raise UserError(
            f"{folder}: the tokenizer has {vocabulary} ids, the model {config['vocab_size']}; they are not of one model"
        )
    positions = config.get("max_position_embeddings") or config.get("n_positions")
    if positions and length > positions:
        raise UserError(f"--cutoff_len {length} is more than the model's {positions} positions")


def lasting_name(base_model: str) -> str:
    """What to write into codetune.json: a hub name or a tiny one as it is, a folder as an absolute path."""
    path = Path(base_model).expanduser()
    return str(path.resolve()) if base_model not in tiny.NAMES and path.is_dir() else base_model


def versions() -> dict:
    from importlib import metadata

    return {name: metadata.version(name) for name in ("torch", "transformers", "peft", "tokenizers")}


def save_full(model, base: Path, folder, made: dict):
    """Every weight that the base has, in its dtype, beside its config.json and tokenizer files as they are."""
    import torch

    stored = weights.Weights(base)
    trained = {name: tensor for name, tensor in model.state_dict().items() if name in stored.where}
    state = {name: tensor.to("cpu", stored.dtype(name)) for name, tensor in trained.items()}
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise RuntimeError(f"{len(broken)} of {len(state)} tensors hold nan or infinity: {broken[0]}")
    with files.whole_folder(folder, last=["config.json", adapters.MADE], owned=adapters.OWNED) as partial:
        model.save_pretrained(partial, state_dict=state)
        (partial / "config.json").write_bytes((Path(base) / "config.json").read_bytes())
        copy_tokenizer(base, partial)
        adapters.write_made(partial, made)


def copy_tokenizer(base: Path, folder: Path):
    """The base model's own files, byte for byte: transformers would write others."""
    for name in tokenizers.FILES:
        if (Path(base) / name).is_file():
            shutil.copyfile(Path(base) / name, Path(folder) / name)


def parameters(model) -> tuple[int, int]:
    """(trainable, all)"""
    counts = [(p.numel() if p.requires_grad else 0, p.numel()) for p in model.parameters()]
    return sum(t for t, _ in counts), sum(n for _, n in counts)
