"""The radar chart shows the languages that occur, before and after."""

import struct

import pytest

from codetune.instructions import survey


def counted(raw, clean, others=0):
    return {"raw data": {**raw, "Others": others}, "clean data": {**clean, "Others": others}}


def test_languages_that_occur_have_an_axis_and_others_have_none():
    counts = counted({"Go": 1, "Java": 0, "C": 0}, {"Go": 0, "Java": 2, "C": 0}, others=9)
    assert set(survey.axes_of(counts)) == {"Go", "Java"}


def test_the_rarest_languages_are_left_out_where_there_are_too_many():
    clean = {f"L{number}": number + 1 for number in range(survey.MOST_AXES + 2)}
    assert set(survey.axes_of(counted({}, clean))) == {f"L{number}" for number in range(2, survey.MOST_AXES + 2)}


@pytest.mark.parametrize(
    "raw, clean",
    [
        ({"Python": 3_489, "Rust": 11, "Go": 0}, {"Python": 8_693, "Rust": 11, "Go": 0}),
        ({"Python": 1}, {"Python": 1}),
        ({}, {}),  # every row dropped
    ],
)
def test_the_chart_is_a_png_and_the_same_counts_give_the_same_bytes(tmp_path, raw, clean):
    counts = counted(raw, clean, others=5)
    survey.radar(counts, tmp_path / "a.png")
    survey.radar(counts, tmp_path / "b.png")
    content = (tmp_path / "a.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", content[16:24]) == (990, 990)
    assert content == (tmp_path / "b.png").read_bytes()


def test_other_counts_give_another_chart(tmp_path):
    survey.radar(counted({"Go": 3, "C": 1, "R": 9}, {"Go": 3, "C": 1, "R": 9}), tmp_path / "a.png")
    survey.radar(counted({"Go": 3, "C": 9, "R": 9}, {"Go": 3, "C": 9, "R": 9}), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
