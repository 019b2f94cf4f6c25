"""Where the base model comes from, and what is said when it does not."""

import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from codetune.cli import UserError
from codetune.training import models, tiny

ROOT = Path(__file__).resolve().parents[2]


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers every request as the hub answers for a gated model, or for one that is not there."""

    def do_GET(self):
        gated = "gated" in self.path
        self.send_response(403 if gated else 404)
        self.send_header("X-Error-Code", "GatedRepo" if gated else "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def hub():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def located(name, endpoint, tmp_path):
    """What models.locate says in a process that knows another hub."""
    code = (
        "from codetune import cli; from codetune.training import models; "
        f"cli.run(lambda: print(models.locate({name!r})), argv=[], name='try')"
    )
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path)}
    environment.pop("HF_HUB_OFFLINE", None)
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 1 and "Traceback" not in ran.stderr
    return ran.stderr.strip().splitlines()[-1]


def test_a_gated_model_says_how_to_log_in(hub, tmp_path):
    said = located("meta-llama/gated-7b", hub, tmp_path)
    assert "gated: accept its licence at https://huggingface.co/meta-llama/gated-7b" in said and "hf auth login" in said


def test_a_model_that_is_nowhere_is_one_sentence(hub, tmp_path):
    assert "no folder some/model, and no model of that name on the hub" in located("some/model", hub, tmp_path)


def test_without_a_network_the_hub_cannot_be_reached(tmp_path):
    assert "the hub cannot be reached" in located("some/model", "http://127.0.0.1:9", tmp_path)


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/model", "a/b/c"])
def test_a_path_is_not_looked_for_on_the_hub(name):
    with pytest.raises(UserError, match="no model folder"):
        models.locate(name)


def test_a_file_or_an_empty_folder_is_no_model(tmp_path):
    with pytest.raises(UserError, match=r"no config\.json"):
        models.locate(str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        models.locate(str(tmp_path / "file"))


def test_an_adapter_given_as_a_base_model_is_recognised(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match="give it as --lora_weights"):
        models.locate(str(tmp_path))


def test_an_unknown_architecture_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UserError, match="'bert'"):
        models.read_config(tmp_path)


def test_eight_bits_without_bitsandbytes_name_the_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # what find_spec sees where it is not installed
    with pytest.raises(UserError, match="pip install bitsandbytes, or use --bits 16"):
        models.check_bits(8, "cuda")


def test_eight_bits_are_refused_on_mps():
    with pytest.raises(UserError, match="mps"):
        models.check_bits(8, "mps")


def test_a_cutoff_beyond_the_model_s_positions_is_refused():
    with pytest.raises(UserError, match="1024 positions"):
        models.check_fits(tiny.folder("tiny-starcoder"), 2048, 1025)


def test_a_tokenizer_larger_than_the_embedding_is_refused():
    with pytest.raises(UserError, match="not of one model"):
        models.check_fits(tiny.folder("tiny-starcoder"), 2049, 512)


def test_lora_takes_eight_bits_on_cuda_alone():
    assert models.default_bits("lora", "cuda") == 8
    assert models.default_bits("lora", "cpu") == models.default_bits("full", "cuda") == 16


@pytest.mark.parametrize("gone", ["model.norm.weight", "model.layers.1.mlp.up_proj.weight"])
def test_a_model_without_one_of_its_tensors_is_refused(tmp_path, gone):
    """transformers would fill it with random numbers, and only print so."""
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny.folder("tiny-llama"), tmp_path / "model")
    tensors = load_file(tmp_path / "model" / "model.safetensors")
    del tensors[gone]
    save_file(tensors, tmp_path / "model" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=f"{gone} is missing"):
        models.load(tmp_path / "model", on="cpu")


def test_a_folder_with_a_model_and_an_adapter_is_refused(tmp_path):
    """transformers would load both and say nothing."""
    for name in ("config.json", "adapter_config.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match="holds a model and an adapter"):
        models.locate(str(tmp_path))


@pytest.mark.parametrize("name", tiny.NAMES)
def test_a_whole_model_is_whole(name):
    models.check_whole(tiny.folder(name))


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"num_hidden_layers": 4}, "model.layers.3.*is missing"),
        ({"num_hidden_layers": 2}, "has no place in the network"),
        ({"intermediate_size": 256}, r"has the shape .*384"),
        ({"num_attention_heads": 0}, "makes no model"),
    ],
)
def test_weights_that_are_not_config_json_s_are_refused_before_an_export(tmp_path, changed, sentence):
    import json
    import shutil

    shutil.copytree(tiny.folder("tiny-llama"), tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, **changed}))
    with pytest.raises(UserError, match=sentence):
        models.check_whole(tmp_path / "model")
