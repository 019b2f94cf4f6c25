"""The exported model says what the adapter model says, and is the base's in all the rest."""

import json
import shutil

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from codetune.cli import UserError
from codetune.export import merge
from codetune.training import adapters, models, tiny, weights


def adapter(base, folder, modules=("all-linear",), **more):
    """A LoRA adapter with random matrices, as PEFT saves it."""
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    targets = adapters.targets(model, list(modules))
    config = peft.LoraConfig(r=4, lora_alpha=10, target_modules=targets, init_lora_weights=False, **more)
    peft.get_peft_model(model, config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=tiny.NAMES)
def base(request):
    return tiny.folder(request.param)


def logits(model):
    with torch.no_grad():
        return model.eval()(torch.arange(5, 69)[None]).logits


@pytest.mark.parametrize("more", [{}, {"use_rslora": True}])
def test_the_merged_model_has_the_adapter_model_s_logits(base, tmp_path, more):
    folder = adapter(base, tmp_path / "adapter", **more)
    merge.write_hf(merge.Merged(base, folder), base, tmp_path / "hf", {})
    plain = transformers.AutoModelForCausalLM.from_pretrained(base)
    beside = peft.PeftModel.from_pretrained(transformers.AutoModelForCausalLM.from_pretrained(base), folder)
    merged = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    assert (logits(beside) - logits(merged)).abs().max() < 1e-4
    assert (logits(plain) - logits(merged)).abs().max() > 1e-2  # the adapter does something


def test_a_base_in_bfloat16_is_rounded_once_from_float32(base, tmp_path):
    half = tmp_path / "half"
    shutil.copytree(base, half)
    tensors = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(base / "model.safetensors").items()}
    save_file(tensors, half / "model.safetensors", metadata={"format": "pt"})
    merged = merge.Merged(half, adapter(base, tmp_path / "adapter"))
    merge.write_hf(merged, half, tmp_path / "hf", {})
    written = load_file(tmp_path / "hf" / "model.safetensors")
    down, up = (
        load_file(tmp_path / "adapter" / "adapter_model.safetensors")[n] for n in next(iter(merged.pairs.values()))
    )
    name = next(iter(merged.pairs))
    expected = (tensors[name].float() + up @ down * 2.5).to(torch.bfloat16)  # alpha 10 / rank 4
    assert written[name].dtype == torch.bfloat16 and torch.equal(written[name], expected)


def test_what_the_adapter_does_not_reach_stays_bit_for_bit(base, tmp_path):
    merged = merge.Merged(base, adapter(base, tmp_path / "adapter", ["auto"]))
    merge.write_hf(merged, base, tmp_path / "hf", {})
    before, after = load_file(base / "model.safetensors"), load_file(tmp_path / "hf" / "model.safetensors")
    assert set(before) == set(after)
    untouched = [name for name in before if name not in merged.pairs]
    assert len(untouched) > 20 and all(torch.equal(before[name], after[name]) for name in untouched)


def test_config_and_tokenizer_files_are_copied_byte_for_byte(base, tmp_path):
    merge.write_hf(merge.Merged(base), base, tmp_path / "hf", {"template": "t"})
    names = [p.name for p in base.iterdir() if p.name != "model.safetensors"]
    assert "config.json" in names and "tokenizer.json" in names
    assert all((tmp_path / "hf" / name).read_bytes() == (base / name).read_bytes() for name in names)
    assert json.loads((tmp_path / "hf" / adapters.MADE).read_text()) == {"template": "t"}


def test_shards_stay_as_the_base_has_them(tmp_path):
    base = tmp_path / "base"
    shutil.copytree(tiny.folder("tiny-llama"), base)
    (base / "model.safetensors").unlink()
    models.load(tiny.folder("tiny-llama"), on="cpu").save_pretrained(base, max_shard_size="1MB")
    merged = merge.Merged(base, adapter(tiny.folder("tiny-llama"), tmp_path / "adapter"))
    merge.write_hf(merged, base, tmp_path / "hf", {})
    assert weights.placement(tmp_path / "hf") == weights.placement(base)
    exported = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    one_file = merge.Merged(tiny.folder("tiny-llama"), tmp_path / "adapter")
    assert all(torch.equal(tensor, one_file.stored(name)) for name, tensor in exported.state_dict().items())


def test_an_older_bin_with_its_head_tied_becomes_safetensors(tmp_path):
    base = tmp_path / "base"
    shutil.copytree(tiny.folder("tiny-starcoder"), base)
    tensors = load_file(base / "model.safetensors")
    (base / "model.safetensors").unlink()
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"]
    torch.save(tensors, base / "pytorch_model.bin")
    merge.write_hf(merge.Merged(base), base, tmp_path / "hf", {})
    exported = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    assert torch.equal(
        logits(exported), logits(transformers.AutoModelForCausalLM.from_pretrained(tiny.folder("tiny-starcoder")))
    )


@pytest.mark.parametrize(
    "more, said",
    [
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "bias"),
    ],
)
def test_an_adapter_that_cannot_be_merged_yet_is_refused(tmp_path, more, said):
    base = tiny.folder("tiny-llama")
    with pytest.raises(UserError, match=said):
        merge.Merged(base, adapter(base, tmp_path / "adapter", ["q_proj"], **more))


def test_an_export_that_fails_leaves_nothing(tmp_path):
    base = tiny.folder("tiny-llama")
    merged = merge.Merged(base)
    del merged.base.where["model.norm.weight"]  # any failure after the first tensors
    merged.base.where["no.such.tensor"] = "model.safetensors"
    with pytest.raises(Exception, match="no.such.tensor"):
        merge.write_hf(merged, base, tmp_path / "hf", {})
    assert list(tmp_path.iterdir()) == []
