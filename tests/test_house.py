"""The house stands as the README draws it: the map, who imports whom, the commands."""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from codetune import cli

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROOMS = ("instructions", "corpus", "sequences", "training", "serving", "export")  # each may import those before it
LEAVES = ("text", "evaluation")  # anyone may import these
LIGHT = ("text", "instructions", "corpus", "sequences", "evaluation")  # never import torch


def modules():
    return sorted(path for path in (ROOT / "codetune").rglob("*.py"))


def imported(path):
    """{"codetune.text.languages", "torch", ...}: every module that a file imports anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room_of(path):
    return path.relative_to(ROOT / "codetune").parts[0]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_import_only_what_stands_before_them(path):
    room = room_of(path)
    names = {name.split(".")[1] for name in imported(path) if name.startswith("codetune.")}
    allowed = {"cli", "files", room, *LEAVES} if room in ROOMS else {"cli", "files", room}
    if room in ROOMS:
        allowed |= set(ROOMS[: ROOMS.index(room)])
    assert names <= allowed


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_package_imports_no_script(path):
    scripts = {script.stem for script in [*ROOT.glob("*.py"), *(ROOT / "data").glob("*.py")]}
    assert not {name.split(".")[0] for name in imported(path)} & scripts


def test_light_rooms_never_load_torch():
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules() if room_of(path) in LIGHT]
    heavy = "[m for m in ('torch', 'transformers', 'datasets', 'gradio') if m in sys.modules]"
    code = f"import importlib, sys; [importlib.import_module(n) for n in {names}]; print({heavy})"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert len(names) > 8 and ran.stdout.strip() == "[]"


def test_no_file_is_run_or_loaded_unsafely():
    forbidden = {"os.system", "eval", "exec", "pickle.load", "pickle.loads"}
    for path in [*modules(), *ROOT.glob("*.py"), *(ROOT / "data").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called, keywords = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
                assert called not in forbidden, path
                assert called != "torch.load" or keywords.get("weights_only") == "True", path
                assert keywords.get("shell") != "True" and keywords.get("trust_remote_code") != "True", path


def test_the_map_names_every_module_and_nothing_else():
    drawn = set(re.findall(r"^ *([a-z_]+\.py) ", README.split("## The map")[1].split("## Tests")[0], re.MULTILINE))
    scripts = [*ROOT.glob("*.py"), *(ROOT / "data").glob("*.py")]
    standing = {path.name for path in [*modules(), *scripts] if path.name != "__init__.py"}
    assert drawn == standing


def commands(kind):
    """The python commands in README's blocks of a kind, as lists of words, without those that only comment."""
    blocks = re.findall(rf"^```{kind}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("python ")]


def test_the_commands_for_a_gpu_have_flags_that_exist():
    """Parsed by the scripts' own signatures; running them takes weights that are not here."""
    assert len(commands("sh")) >= 4
    for script, *arguments in commands("sh"):
        function, aliases = signature(script)
        assert cli.parse(function, arguments, aliases)


def signature(script):
    """The function and the aliases that a script gives to cli.run."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(Path(script).stem + "_script", ROOT / script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, Path(script).stem), getattr(module, "ALIASES", {})


@pytest.mark.slow
def test_the_readme_s_commands_run(tmp_path):
    for entry in ROOT.iterdir():
        if entry.name not in ("out", ".venv", ".git"):
            (tmp_path / entry.name).symlink_to(entry)
    said = []
    for words in commands("bash"):
        ran = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert ran.returncode == 0, f"{words}: {ran.stderr[-2000:]}"
        said.append(ran.stdout)
    assert len(said) == 7
    assert "131 kept" in said[0]
    assert "training loss 0.0" in said[2] and "held-out loss" in said[3]
    assert "def add(a, b):\n    return a + b" in said[4]
    assert "11 of 11 probe texts have the same tokens in llama.cpp" in said[-1]
    left = {path.name for path in (tmp_path / "out" / "adapter").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "codetune.json", "log.jsonl", "curves.png"} <= left


@pytest.mark.slow
def test_the_demo_ends_with_the_same_answer_from_both(tmp_path):
    import os

    environment = {**os.environ, "PYTHON": sys.executable, "OUT": str(tmp_path / "demo")}
    ran = subprocess.run(
        ["bash", "recipes/demo.sh"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    agreed, tokens = map(int, re.search(r"the first (\d+) of (\d+) tokens are the same", ran.stdout).groups())
    assert agreed == tokens > 5
    answer = ran.stdout.split("== 4.")[1]
    assert "def add(a, b):\n    return a + b" in answer
