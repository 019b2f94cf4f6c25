"""LoRA: attached where asked, saved whole, refused on another base model."""

import json
import shutil

import peft
import pytest
import torch
import transformers

from codetune.cli import UserError
from codetune.training import adapters, models, tiny, weights


@pytest.fixture(scope="module")
def llama():
    return tiny.folder("tiny-llama")


def trained(base, folder, modules=("auto",)):
    """An adapter with random B, saved as finetune.py saves it."""
    torch.manual_seed(0)
    model = adapters.attach(models.load(base, on="cpu"), 4, 8, 0.0, list(modules), str(base))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    adapters.save(model, folder, {"base_model": str(base), "base_fingerprint": weights.fingerprint(base)})
    return model


@pytest.mark.parametrize(
    "name, wanted, layers",
    [
        ("tiny-llama", ["auto"], 6),  # q_proj and v_proj of three blocks
        ("tiny-starcoder", ["auto"], 3),  # c_attn
        ("tiny-llama", ["all-linear"], 21),
        ("tiny-starcoder", ["c_attn", "c_fc", "c_proj"], 12),  # c_proj stands twice in a block
    ],
)
def test_the_wanted_layers_are_adapted(name, wanted, layers):
    model = adapters.attach(models.load(tiny.folder(name), on="cpu"), 4, 8, 0.0, wanted, "base")
    assert adapters.adapted_layers(model) == layers


def test_a_layer_that_is_not_there_is_named_with_those_that_are(llama):
    with pytest.raises(UserError, match="no linear layer 'c_attn'.*q_proj"):
        adapters.targets(models.load(llama, on="cpu"), ["q_proj", "c_attn"])


def test_plain_peft_loads_what_was_saved_and_says_the_same(llama, tmp_path):
    model = trained(llama, tmp_path / "adapter").eval()
    base = transformers.AutoModelForCausalLM.from_pretrained(llama)
    plain = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    ids = torch.arange(5, 45)[None]
    assert torch.equal(model(ids).logits, plain(ids).logits)
    assert not torch.allclose(model(ids).logits, plain.get_base_model()(ids).logits * 0)


def test_an_adapter_that_learnt_nothing_is_not_saved(llama, tmp_path):
    # Kits have shipped adapters of 443 bytes. B starts as zeros, so an untrained one merges into nothing
    model = adapters.attach(models.load(llama, on="cpu"), 4, 8, 0.0, ["auto"], str(llama))
    with pytest.raises(RuntimeError, match="all zero"):
        adapters.save(model, tmp_path / "adapter", {})
    assert not (tmp_path / "adapter").exists()


def test_codetune_json_stands_beside_it(llama, tmp_path):
    trained(llama, tmp_path / "adapter")
    assert adapters.read_made(tmp_path / "adapter")["base_model"] == str(llama)


def test_an_adapter_of_another_architecture_is_refused(llama, tmp_path):
    trained(llama, tmp_path / "adapter")
    with pytest.raises(UserError, match="an adapter for another base model"):
        adapters.check_base(tmp_path / "adapter", tiny.folder("tiny-starcoder"))


def test_an_adapter_of_a_sibling_with_other_weights_is_refused_unless_meant(llama, tmp_path):
    trained(llama, tmp_path / "adapter")
    sibling = tmp_path / "sibling"
    shutil.copytree(llama, sibling)
    model = models.load(sibling, on="cpu")
    with torch.no_grad():
        model.model.norm.weight += 0.5
    model.save_pretrained(sibling)
    with pytest.raises(UserError, match="was trained on another base model"):
        adapters.check_base(tmp_path / "adapter", sibling)
    adapters.check_base(tmp_path / "adapter", sibling, other_base=True)


def test_a_copy_of_the_base_model_elsewhere_is_the_same_base(llama, tmp_path):
    trained(llama, tmp_path / "adapter")
    shutil.copytree(llama, tmp_path / "copy")
    adapters.check_base(tmp_path / "adapter", tmp_path / "copy")


@pytest.mark.parametrize("gone", ["adapter_config.json", "adapter_model.safetensors"])
def test_half_an_adapter_is_refused(llama, tmp_path, gone):
    trained(llama, tmp_path / "adapter")
    (tmp_path / "adapter" / gone).unlink()
    with pytest.raises(UserError, match=gone):
        adapters.check_base(tmp_path / "adapter", llama)


def test_saving_leaves_the_base_s_name_for_peft(llama, tmp_path):
    trained(llama, tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(llama)


@pytest.mark.parametrize(
    "config, tensors, sentence",
    [
        ({"r": 2}, {}, "the rank 2"),  # edited by hand: PEFT would scale by another rank
        ({"r": 0}, {}, "no LoRA's"),
        ({"peft_type": "IA3"}, {}, "an adapter of type IA3"),
        ({}, {"lora_A": None}, "lora_A.weight is missing"),
        ({}, {"lora_B": float("nan")}, "holds nan or infinity"),
        ({}, {"lora_A": None, "lora_B": None}, "the adapter is empty"),
    ],
)
def test_an_adapter_that_would_silently_say_something_else_is_refused(llama, tmp_path, config, tensors, sentence):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "adapter"
    trained(llama, folder)
    written = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**written, **config}))
    saved = load_file(folder / "adapter_model.safetensors")
    for part, value in tensors.items():
        for name in [name for name in saved if part in name]:
            saved[name] = None if value is None else torch.full_like(saved[name], value)
    save_file(
        {name: tensor for name, tensor in saved.items() if tensor is not None}, folder / "adapter_model.safetensors"
    )
    with pytest.raises(UserError, match=sentence):
        adapters.check_base(folder, llama)
