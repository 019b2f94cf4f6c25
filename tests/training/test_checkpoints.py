"""Which checkpoint a run goes on from, and that two runs do not mix."""

import json

import pytest

from codetune.cli import UserError
from codetune.training import checkpoints


def checkpoint(folder, step, whole=True):
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "trainer_state.json").write_text("{}")
    if whole:
        checkpoints.mark_whole(path)
    return path


def test_auto_goes_on_from_the_newest_checkpoint_that_is_whole(tmp_path):
    checkpoint(tmp_path, 5)
    tenth = checkpoint(tmp_path, 10)
    checkpoint(tmp_path, 15, whole=False)  # kill -9 while it was written
    assert checkpoints.prepare(tmp_path, "auto", False, {}) == tenth


def test_auto_starts_afresh_where_there_is_no_checkpoint(tmp_path):
    assert checkpoints.prepare(tmp_path, "auto", False, {"seed": 1}) is None
    assert json.loads((tmp_path / checkpoints.RUN).read_text()) == {"seed": 1}


def test_a_fresh_run_does_not_mix_with_an_earlier_one_s_checkpoints(tmp_path):
    old = checkpoint(tmp_path, 5)
    with pytest.raises(UserError, match="holds checkpoints of an earlier run"):
        checkpoints.prepare(tmp_path, None, False, {})
    assert checkpoints.prepare(tmp_path, None, True, {}) is None and not old.exists()


def test_a_run_does_not_go_on_with_other_data(tmp_path):
    checkpoints.prepare(tmp_path, None, False, {"data": "a"})
    checkpoint(tmp_path, 5)
    with pytest.raises(UserError, match='had data "a", this one has "b"'):
        checkpoints.prepare(tmp_path, True, False, {"data": "b"})


def test_a_checkpoint_that_is_not_there_is_named_with_those_that_are(tmp_path):
    checkpoint(tmp_path, 5)
    with pytest.raises(UserError, match=r"no whole checkpoint there; whole ones in .*checkpoint-5"):
        checkpoints.prepare(tmp_path, str(tmp_path / "checkpoint-6"), False, {})


@pytest.mark.parametrize("harm", ["lost", "cut"])
def test_a_checkpoint_that_lost_something_later_is_not_whole(tmp_path, harm):
    path = checkpoint(tmp_path, 5)
    if harm == "lost":
        (path / "trainer_state.json").unlink()
    else:
        (path / "trainer_state.json").write_text("{")
    assert checkpoints.whole(tmp_path) == []


def test_a_checkpoint_of_another_run_is_held_against_that_run_s_settings(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / checkpoints.RUN).write_text('{"seed": 1}')
    old = checkpoint(tmp_path / "old", 5)
    with pytest.raises(UserError, match="had seed 1, this one has 2"):
        checkpoints.prepare(tmp_path / "new", str(old), False, {"seed": 2})
    assert checkpoints.prepare(tmp_path / "new", str(old), False, {"seed": 1}) == old
