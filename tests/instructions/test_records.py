"""Rows are read from files of several formats, checked, and written."""

import json

import pyarrow
import pytest
from pyarrow import parquet

from codetune.cli import UserError
from codetune.instructions import records

ROW = {"instruction": "Add", "input": "1 2", "output": "3"}
OTHER = {"instruction": "Öl", "input": "", "output": "x\n"}


def as_json(path, rows):
    path.write_text(json.dumps(rows), encoding="utf-8")


def as_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def as_parquet(path, rows):
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def rows_of(*paths):
    return [record.row for record in records.read([str(path) for path in paths])]


def error_of(*paths):
    with pytest.raises(UserError) as error:
        records.read([str(path) for path in paths])
    return str(error.value)


@pytest.mark.parametrize("name, write", [("a.json", as_json), ("a.jsonl", as_jsonl), ("a.parquet", as_parquet)])
def test_rows_are_read_with_their_place(tmp_path, name, write):
    write(tmp_path / name, [ROW, OTHER])
    path = str(tmp_path / name)
    assert records.read([path]) == [(ROW, path, 0), (OTHER, path, 1)]


def test_several_files_are_read_in_the_order_given(tmp_path):
    as_json(tmp_path / "b.json", [ROW])
    as_jsonl(tmp_path / "a.jsonl", [OTHER, ROW])
    found = records.read([str(tmp_path / "b.json"), str(tmp_path / "a.jsonl")])
    places = [(record.source.rpartition("/")[2], record.index) for record in found]
    assert places == [("b.json", 0), ("a.jsonl", 0), ("a.jsonl", 1)]


def test_a_folder_is_its_files_of_rows_in_order_of_name(tmp_path):
    as_parquet(tmp_path / "c.parquet", [ROW])
    as_json(tmp_path / "a.json", [OTHER])
    (tmp_path / "README.md").write_text("no rows")
    assert rows_of(tmp_path) == [OTHER, ROW]


def test_what_preprocess_leaves_beside_its_rows_is_no_data(tmp_path):
    as_json(tmp_path / "rows.json", [ROW])
    (tmp_path / "rows.dropped.jsonl").write_text('{"row": {}, "reason": "refusal", "source": "a", "index": 0}\n')
    (tmp_path / "rows.counts.json").write_text('{"raw data": {}}')
    (tmp_path / "rows.png").write_bytes(b"\x89PNG")
    assert rows_of(tmp_path) == [ROW]


def test_a_folder_without_rows_is_refused(tmp_path):
    assert error_of(tmp_path) == f"{tmp_path}: a folder without .json, .jsonl, .parquet files"


def test_a_byte_order_mark_is_no_part_of_the_rows(tmp_path):
    json_path = written(tmp_path / "a.json", b"\xef\xbb\xbf" + json.dumps([ROW]).encode())
    jsonl_path = written(tmp_path / "a.jsonl", b"\xef\xbb\xbf" + json.dumps(ROW).encode())
    assert rows_of(json_path, jsonl_path) == [ROW, ROW]


def test_empty_lines_between_json_lines_are_no_rows(tmp_path):
    line = json.dumps(ROW)
    assert rows_of(written(tmp_path / "a.jsonl", f"\n{line}\r\n  \n\n{line}")) == [ROW, ROW]


def test_a_line_separator_inside_a_json_string_ends_no_line(tmp_path):
    row = {**ROW, "output": "a\u2028b\x85c"}
    assert rows_of(written(tmp_path / "a.jsonl", json.dumps(row, ensure_ascii=False))) == [row]


@pytest.mark.parametrize("missing", [{}, {"input": None}])
def test_an_input_that_is_missing_or_null_is_empty(tmp_path, missing):
    as_json(tmp_path / "a.json", [{"instruction": "Add", "output": "3", **missing}])
    assert rows_of(tmp_path / "a.json") == [{"instruction": "Add", "input": "", "output": "3"}]


def test_other_keys_stay_where_they_are_texts(tmp_path):
    as_json(tmp_path / "a.json", [{"response": "3", **ROW, "score": 0.5, "tags": ["a"]}])
    assert rows_of(tmp_path / "a.json") == [{**ROW, "response": "3"}]


@pytest.mark.parametrize(
    "name, content, sentence",
    [
        ("a.json", '[{"instruction": "a"},\n {"b" 1}]', "broken JSON at line 2, column 7: Expecting ':' delimiter"),
        ("a.jsonl", '{"instruction": "a", "output": ""}\n{"b" 1}', "broken JSON at line 2, column 6"),
        ("a.json", "", "the file is empty"),
        ("a.json", "[]", "no rows; the file is empty"),
        ("a.jsonl", "\n\n", "no rows; the file is empty"),
        ("a.json", '{"instruction": "a"}', "holds an object, not a list of rows"),
        ("a.json", '"text"', "holds a string, not a list of rows"),
        ("a.json", "[3]", "row 0 is a number, not an object"),
        ("a.json", '[["a"]]', "row 0 is a list, not an object"),
        ("a.json", "[null]", "row 0 is null, not an object"),
        ("a.jsonl", '"text"', "row 0 is a string, not an object"),
        ("a.json", '[{"instruction": "a", "input": ""}]', "row 0 has no 'output'; its keys are input, instruction"),
        ("a.json", "[{}]", "row 0 has no 'instruction'; its keys are none"),
        ("a.json", '[{"instruction": "a", "output": ["b"]}]', "row 0: 'output' is a list, not a string"),
        ("a.json", '[{"instruction": "a", "output": null}]', "row 0: 'output' is null, not a string"),
        ("a.json", '[{"instruction": true, "output": ""}]', "row 0: 'instruction' is true or false, not a string"),
        ("a.json", '[{"instruction": "a", "input": NaN, "output": ""}]', "row 0: 'input' is a number, not a string"),
        ("a.json", b'["\xff"]', "not readable as JSON: 'utf-8' codec can't decode byte 0xff in position 2"),
        ("a.jsonl", b'{"instruction": "\xff"}', "not UTF-8: invalid start byte at byte 17"),
        ("a.json", "[" * 100_000, "not readable as JSON"),
        ("a.jsonl", "[" * 100_000, "line 1 is not readable as JSON"),
        ("a.parquet", "PAR1 and no more", "not readable as Parquet"),
        ("a.parquet", "", "not readable as Parquet"),
        ("a.csv", "instruction,output", "not one of .json, .jsonl, .parquet; name the file by its format"),
    ],
)
def test_a_bad_file_stops_with_its_name_and_the_place(tmp_path, name, content, sentence):
    path = written(tmp_path / name, content)
    message = error_of(path)
    assert message.startswith(f"{path}: {sentence}") and "\n" not in message


def test_a_bad_row_is_named_by_its_index(tmp_path):
    as_json(tmp_path / "a.json", [ROW, ROW, {"instruction": "a"}])
    assert error_of(tmp_path / "a.json").startswith(f"{tmp_path}/a.json: row 2 has no 'output'")


def test_a_parquet_column_of_numbers_is_no_text(tmp_path):
    as_parquet(tmp_path / "a.parquet", [{"instruction": "a", "output": 1}])
    assert error_of(tmp_path / "a.parquet") == f"{tmp_path}/a.parquet: row 0: 'output' is a number, not a string"


@pytest.mark.parametrize("name", ["missing.json", "folder/missing.jsonl", "/nowhere/rows", "../rows.parquet"])
def test_a_missing_file_is_named(name):
    assert error_of(name) == f"no file {name}"


OFFLINE = """
import os
os.environ["HF_HUB_OFFLINE"] = "1"
from codetune import cli
from codetune.instructions import records
try:
    records.read(["nobody/no-such-rows"])
except cli.UserError as error:
    print(error)
"""


def test_a_hub_name_that_cannot_be_had_is_one_sentence(run_python):
    done = run_python("-c", OFFLINE)
    assert done.stdout.startswith("no file nobody/no-such-rows, and the hub does not give a dataset of that name: ")
    assert len(done.stdout.splitlines()) == 1


def test_a_lone_surrogate_is_read_and_known(tmp_path):
    as_json(tmp_path / "a.json", [ROW, {**ROW, "output": "\ud83d"}])  # json.dumps escapes it
    assert [records.has_broken_unicode(row) for row in rows_of(tmp_path / "a.json")] == [False, True]


def test_a_whole_pair_of_surrogates_is_one_sound_letter(tmp_path):
    path = written(tmp_path / "a.json", '[{"instruction": "\\ud83d\\ude00", "output": "x"}]')
    [row] = rows_of(path)
    assert row["instruction"] == "😀" and not records.has_broken_unicode(row)


def test_the_first_row_with_a_lone_surrogate_is_named():
    records.check_unicode([ROW, OTHER], "a.json")
    with pytest.raises(UserError, match=r"^a\.json: row 1 holds a lone surrogate"):
        records.check_unicode([ROW, {**ROW, "input": "\udc00"}], "a.json")


def test_rows_are_written_one_a_line(tmp_path):
    records.write(tmp_path / "a.json", [ROW, OTHER])
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == (
        '[\n{"instruction": "Add", "input": "1 2", "output": "3"},\n'
        '{"instruction": "Öl", "input": "", "output": "x\\n"}\n]\n'
    )


@pytest.mark.parametrize("rows", [[], [ROW], [ROW, {**OTHER, "output": "é\u2028😀\0"}]])
def test_written_rows_are_read_back(tmp_path, rows):
    records.write(tmp_path / "a.json", rows)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == rows


def test_dropped_rows_are_written_with_reason_and_place_even_with_broken_unicode(tmp_path):
    row = {**ROW, "output": "\ud83d"}
    records.write_dropped(tmp_path / "a.jsonl", [(records.Record(row, "rows.json", 7), "broken Unicode")])
    [line] = (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == {"row": row, "reason": "broken Unicode", "source": "rows.json", "index": 7}
