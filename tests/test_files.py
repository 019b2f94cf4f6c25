"""Files and folders appear whole or not at all."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from codetune import files
from codetune.cli import UserError

ROOT = Path(__file__).resolve().parents[1]


class Broken(Exception):
    pass


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_appears_when_its_block_ends(tmp_path):
    with files.whole_file(tmp_path / "a.txt") as file:
        file.write("é")
        file.flush()
        assert not (tmp_path / "a.txt").exists()
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9" and names(tmp_path) == ["a.txt"]


def test_bytes_are_written_as_they_are(tmp_path):
    with files.whole_file(tmp_path / "a.bin", "wb") as file:
        file.write(b"\xff\r\n")
    assert (tmp_path / "a.bin").read_bytes() == b"\xff\r\n"


def test_a_file_keeps_its_old_content_where_the_block_raises(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(Broken), files.whole_file(tmp_path / "a.txt") as file:
        file.write("new")
        raise Broken
    assert (tmp_path / "a.txt").read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_no_file_appears_where_the_block_raises(tmp_path):
    with pytest.raises(Broken), files.whole_file(tmp_path / "a.txt") as file:
        file.write("new")
        raise Broken
    assert names(tmp_path) == []


def test_a_folder_appears_when_its_block_ends(tmp_path):
    with files.whole_folder(tmp_path / "deep" / "out") as folder:
        (folder / "a").write_text("1")
        assert not (tmp_path / "deep" / "out").exists()
    assert names(tmp_path / "deep") == ["out"] and (tmp_path / "deep" / "out" / "a").read_text() == "1"


def test_no_folder_appears_where_the_block_raises(tmp_path):
    with pytest.raises(Broken), files.whole_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("1")
        raise Broken
    assert names(tmp_path) == []


def test_a_folder_keeps_its_old_files_where_the_block_raises(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("old")
    with pytest.raises(Broken), files.whole_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("new")
        raise Broken
    assert (tmp_path / "out" / "a").read_text() == "old" and names(tmp_path) == ["out"]


def test_a_folder_takes_new_files_and_leaves_the_others(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("old")
    (tmp_path / "out" / "mine").write_text("mine")
    with files.whole_folder(tmp_path / "out", last=["proof"]) as folder:
        (folder / "a").write_text("new")
        (folder / "proof").write_text("1")
    found = {name: (tmp_path / "out" / name).read_text() for name in names(tmp_path / "out")}
    assert found == {"a": "new", "mine": "mine", "proof": "1"}


def test_the_old_proof_of_completeness_is_gone_before_a_new_file_moves_in(tmp_path):
    source, target = tmp_path / "new", tmp_path / "out"
    for folder in (source, target):
        folder.mkdir()
        (folder / "proof").write_text(folder.name)
    (source / "a").mkdir()  # a folder cannot take a file's place
    (target / "a").write_text("in the way")
    with pytest.raises(OSError):
        files.move_into(source, target, last=["proof"])
    assert not (target / "proof").exists()


def test_a_folder_where_a_file_must_go_stops_before_anything_moves(tmp_path):
    (tmp_path / "out" / "b").mkdir(parents=True)
    with (
        pytest.raises(UserError, match="b is a folder where a file must go"),
        files.whole_folder(tmp_path / "out") as folder,
    ):
        (folder / "a").write_text("1")
        (folder / "b").write_text("2")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b"]


def test_an_earlier_model_s_files_go_and_foreign_ones_stay(tmp_path):
    (tmp_path / "out").mkdir()
    for name in ("adapter_model.safetensors", "model-00001-of-00002.safetensors", "notes.txt"):
        (tmp_path / "out" / name).write_text("old")
    with files.whole_folder(tmp_path / "out", owned=["adapter_*", "model*.safetensors"]) as folder:
        (folder / "model.safetensors").write_text("new")
    left = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert left == {"model.safetensors": "new", "notes.txt": "old"}


KILLED = """
import sys, time
from pathlib import Path
from codetune import files

with getattr(files, sys.argv[1])(sys.argv[2]) as place:
    file = place if sys.argv[1] == "whole_file" else (place / "a").open("w")
    file.write("half of it")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("writer", ["whole_file", "whole_folder"])
def test_kill_9_while_writing_leaves_nothing_under_the_final_name(tmp_path, writer):
    command = [sys.executable, "-c", KILLED, writer, tmp_path / "result"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert [name for name in names(tmp_path) if not name.startswith(".")] == []


FULL = """
import resource, sys
from pathlib import Path
from codetune import cli, files

def tool(writer: str, path: str):
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # for this process the disk is full after 1,000 bytes
    with getattr(files, writer)(path) as place:
        if writer == "whole_file":
            place.write("x" * 5000)
        else:
            (place / "a").write_text("x" * 5000)

cli.run(tool, name="tool")
"""


@pytest.mark.parametrize("writer", ["whole_file", "whole_folder"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, run_python, writer):
    done = run_python("-c", FULL, writer, tmp_path / "result")
    assert done.stderr == (
        f"tool: no space left on the disk while writing {tmp_path / 'result'}; "
        "free some or choose another output, then run it again\n"
    )
    assert done.returncode == 1 and names(tmp_path) == []


def test_a_full_disk_leaves_the_old_file(tmp_path, run_python):
    (tmp_path / "result").write_text("old")
    assert run_python("-c", FULL, "whole_file", tmp_path / "result").returncode == 1
    assert (tmp_path / "result").read_text() == "old"


def test_a_library_s_words_for_a_full_disk_become_an_error_with_the_file_s_name():
    with pytest.raises(OSError) as error, files.naming_full_disk("out/model"):
        raise ValueError("Error while serializing: I/O error: No space left on device (os error 28)")  # safetensors
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, "out/model")


def test_another_error_while_writing_stays_what_it_is():
    with pytest.raises(ValueError, match="shape"), files.naming_full_disk("out/model"):
        raise ValueError("shape mismatch")


def test_the_folder_of_an_output_file_is_made(tmp_path):
    files.check_output_file(tmp_path / "deep" / "rows.json", "output")
    assert (tmp_path / "deep").is_dir()


def test_an_output_file_that_is_a_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match=rf"^--output: {tmp_path} is a folder"):
        files.check_output_file(tmp_path, "output")


@pytest.mark.parametrize("inside", ["", "deep", "deep/deeper"])
def test_an_output_folder_under_a_file_is_refused_by_the_file_s_name(tmp_path, inside):
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match=rf"^--output_dir: {tmp_path}/taken is a file, not a folder"):
        files.check_output_folder(tmp_path / "taken" / inside, "output_dir")


@pytest.mark.parametrize(
    "content, sentence",
    [
        (b'[\n  {"a" 1}\n]', "broken JSON at line 2, column 8: Expecting ':' delimiter"),
        (b"", "broken JSON at line 1, column 1"),
        (b'["\xff"]', "not readable as JSON"),
        (b"[" * 100_000, "not readable as JSON"),  # deeper than Python's stack
        (b"9" * 5000, "not readable as JSON"),  # more digits than Python converts
    ],
)
def test_a_broken_json_file_says_where(tmp_path, content, sentence):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError) as error:
        files.read_json(tmp_path / "a.json", "file")
    assert str(error.value).startswith(f"{tmp_path}/a.json: {sentence}")


def test_a_missing_json_file_is_named_by_what_it_is(tmp_path):
    with pytest.raises(UserError, match=f"^no template at {tmp_path}/a.json$"):
        files.read_json(tmp_path / "a.json", "template")


def test_a_byte_order_mark_before_json_is_no_part_of_it(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert files.read_json(tmp_path / "a.json", "file") == [1]


def test_json_is_read_back_as_it_was_written(tmp_path):
    content = {"é": [1, 2.5, None, True], "b": "line\nbreak"}
    files.write_json(tmp_path / "a.json", content)
    assert files.read_json(tmp_path / "a.json", "file") == content


def test_a_digest_counts_the_borders_of_its_parts():
    assert files.sha256(b"ab", b"c") != files.sha256(b"a", b"bc")


def test_a_digest_is_that_of_the_framed_bytes():
    # printf '\x01\0\0\0\0\0\0\0a' | sha256sum
    assert files.sha256(b"a") == "ae6121c88ba555f64c3d812123eb799d128015541f850c5e9bf1d54c08ad8481"


def test_what_does_not_fit_the_disk_is_refused_with_both_sizes(tmp_path):
    files.check_room(tmp_path, 1)
    with pytest.raises(UserError, match=r"1000000000\.00 GB to write, .* GB free"):
        files.check_room(tmp_path, 10**18)
