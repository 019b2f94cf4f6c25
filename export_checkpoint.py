"""An adapter and its base model in; one model out, for transformers or for llama.cpp."""

import sys
from pathlib import Path
from typing import Literal

from codetune import cli, files

ALIASES = {
    "model_path": "base_model",
    "model_name_or_path": "base_model",
    "output_dir": "export_dir",
    "prompt_template_name": "prompt_template",
}
QUESTION = "Write a Python function that adds two numbers."


def export_checkpoint(
    base_model: str | None = None,
    lora_weights: str | None = None,
    export_dir: str = "out/export",
    checkpoint_type: Literal["hf", "gguf", "pytorch"] = "hf",
    quantization: Literal["f32", "f16", "q8_0"] = "f16",
    prompt_template: str | None = None,
    verify: bool = False,
    instruction: str = QUESTION,
    other_base: bool = False,
    lora_target_modules: list[str] = (),
):
    """Merge an adapter into its base model and write it as hf (safetensors) or gguf (llama.cpp, Ollama).

    Merging adds in float32. hf keeps the base's dtype, shards, config.json and tokenizer files; gguf is one file,
    model-QUANTIZATION.gguf, with tokenizer, chat template and FIM tokens in it, written without a compiler.

    Example:
        python export_checkpoint.py --lora_weights out/adapter --export_dir out/gguf --checkpoint_type gguf

    Args:
        base_model: a folder, a hub name or a tiny model; by default what the adapter was trained on.
        lora_weights: the adapter's folder; without it the base model is exported as it is.
        export_dir: the folder to write into.
        checkpoint_type: hf, or gguf; pytorch (Meta's layout) is to come.
        quantization: of a GGUF's matrices: f32, f16 or q8_0.
        prompt_template: what the GGUF's chat template renders; by default what the model was trained with.
        verify: load the GGUF in llama.cpp, compare its tokens, and print both greedy answers side by side.
        instruction: what --verify asks.
        other_base: use an adapter with other base weights than it was trained on.
        lora_target_modules: accepted and needless; the adapter knows its layers.
    """
    if checkpoint_type == "pytorch":
        raise cli.UserError("--checkpoint_type pytorch (Meta's consolidated.00.pth) is not there yet; use hf or gguf")
    if verify and checkpoint_type != "gguf":
        raise cli.UserError("--verify goes with --checkpoint_type gguf")
    if lora_target_modules:
        print("--lora_target_modules is needless: the adapter says which layers it adapts")
    files.check_output_folder(export_dir, "export_dir")

    from codetune.export import merge
    from codetune.serving import assistant
    from codetune.training import adapters, models

    made = assistant.made_with(base_model, lora_weights)
    base = assistant.base_of(base_model, lora_weights, made)
    folder = models.locate(base)
    models.read_config(folder)
    models.check_whole(folder)
    if Path(export_dir).resolve() in (folder.resolve(), Path(lora_weights or folder).resolve()):
        raise cli.UserError(f"--export_dir {export_dir} is the model's own folder, which would be overwritten")
    if lora_weights:
        adapters.check_base(lora_weights, folder, other_base)
    template = assistant.template_of(prompt_template, made) if prompt_template or made else None
    merged = merge.Merged(folder, lora_weights)
    whose = template.name if template else "the base model's own"
    print(f"base model {base}, adapter {lora_weights or 'none'}, template {whose}")
    if checkpoint_type == "hf":
        kept = {**made, **({"template": template.as_dict()} if template else {}), "exported_from": {"base_model": base}}
        merge.write_hf(merged, folder, export_dir, kept, progress=lambda shards: bar(shards, "shards"))
        print(f"{export_dir}: {len(merged.names())} tensors, {len(merged.pairs)} of them merged")
        return
    path = write_gguf(merged, folder, template, export_dir, quantization, Path(lora_weights or base).name)
    if verify:
        import torch

        compare(path, assistant.load(base, lora_weights, prompt_template, 16, other_base, torch.float32), instruction)


def write_gguf(merged, folder, template, export_dir, quantization, name):
    from tqdm import tqdm

    from codetune.export import gguf
    from codetune.text import tokenizers

    path = Path(export_dir) / f"model-{quantization}.gguf"
    size = gguf.size_of_plan(merged, folder, quantization)
    files.check_room(export_dir, size)
    with tqdm(total=size, desc=path.name, unit="B", unit_scale=True, file=sys.stderr) as progress:
        gguf.write(path, merged, folder, tokenizers.load(folder), template, quantization, name, progress.update)
    print(f"{path}: {path.stat().st_size / 1e6:,.1f} MB, {len(merged.pairs)} tensors merged")
    return path


def bar(items, unit):
    from tqdm import tqdm

    return tqdm(items, desc="writing", unit=f" {unit}", file=sys.stderr)


def compare(path, loaded, instruction):
    from codetune.export import verify
    from codetune.serving.llama_cpp import LlamaCpp

    with LlamaCpp(path, exact=True) as server:
        verify.check_tokens(server, loaded.tokenizer)
        found = verify.answers(server, loaded, instruction)
    print(f"{len(verify.PROBES)} of {len(verify.PROBES)} probe texts have the same tokens in llama.cpp")
    print(f'greedy answers to "{instruction}": the first {found.agreed} of {found.tokens} tokens are the same')
    print(verify.side_by_side(found.transformers, found.llama_cpp))
    if path.name.endswith("f32.gguf") and found.agreed < found.tokens:
        raise cli.UserError(f"{path}: in f32 both answers must be the same; do not use this file, and report the model")


if __name__ == "__main__":
    cli.run(export_checkpoint, ALIASES)
