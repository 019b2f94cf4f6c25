"""data/check_sample.py vouches for the sample, and would notice."""

import json
import shutil
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "data"


@pytest.fixture
def check_changed(run_python, tmp_path):
    """check_changed(change) -> the finished process of a copy whose rows went through `change`"""

    def check(change):
        rows = json.loads((DATA / "sample.json").read_text(encoding="utf-8"))
        change(rows)
        shutil.copyfile(DATA / "check_sample.py", tmp_path / "check_sample.py")
        (tmp_path / "sample.json").write_text(json.dumps(rows), encoding="utf-8")
        return run_python(tmp_path / "check_sample.py")

    return check


def test_the_sample_holds_up(run_python):
    done = run_python("data/check_sample.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert "bad on purpose: 18 rows, and 4 rows that repeat another" in done.stdout


def test_a_wrong_answer_in_the_sample_is_noticed(check_changed):
    def break_one(rows):
        [row] = [row for row in rows if row["instruction"] == "Write a Python function that adds two numbers."]
        row["output"] = row["output"].replace("+", "-")

    done = check_changed(break_one)
    assert done.returncode == 1
    assert done.stderr.startswith("Python: Write a Python function that adds two numbers.: ")
    assert "AssertionError" in done.stderr


def test_a_misshapen_row_in_the_sample_is_noticed(check_changed):
    done = check_changed(lambda rows: rows[7].pop("input"))
    assert (done.returncode, done.stderr) == (1, "row 7: not three strings\n")
