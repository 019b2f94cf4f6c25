"""Checkpoints of every layout, one tensor at a time."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from codetune.cli import UserError
from codetune.training import models, tiny, weights


@pytest.fixture(scope="module")
def llama():
    return tiny.folder("tiny-llama")


@pytest.fixture(scope="module")
def tensors(llama):
    return load_file(llama / "model.safetensors")


def same(folder, tensors):
    found = weights.Weights(folder)
    return set(found.names()) == set(tensors) and all(torch.equal(found.get(n), t) for n, t in tensors.items())


def test_one_file_is_read(llama, tensors):
    assert same(llama, tensors)


def test_shards_are_read_by_their_index(llama, tensors, tmp_path):
    models.load(llama, on="cpu").save_pretrained(tmp_path, max_shard_size="1MB")
    assert len(weights.Weights(tmp_path).files()) > 2 and same(tmp_path, tensors)


def test_an_older_bin_is_read_without_running_its_pickle(tensors, tmp_path):
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    assert same(tmp_path, tensors)


def test_a_missing_shard_is_named(llama, tmp_path):
    models.load(llama, on="cpu").save_pretrained(tmp_path, max_shard_size="1MB")
    (tmp_path / weights.Weights(tmp_path).files()[1]).unlink()
    with pytest.raises(UserError, match="model-00002-of-.*is missing"):
        weights.Weights(tmp_path)


def test_half_a_file_is_one_sentence(llama, tmp_path):
    whole = (llama / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        weights.Weights(tmp_path)


def test_a_copy_has_the_same_fingerprint_and_a_change_of_one_weight_another(llama, tensors, tmp_path):
    from safetensors.torch import save_file

    shutil.copytree(llama, tmp_path / "copy")
    assert weights.fingerprint(llama) == weights.fingerprint(tmp_path / "copy")
    changed = {name: tensor.clone() for name, tensor in tensors.items()}
    changed["model.norm.weight"][0] += 1
    save_file(changed, tmp_path / "copy" / "model.safetensors")
    assert weights.fingerprint(llama) != weights.fingerprint(tmp_path / "copy")
