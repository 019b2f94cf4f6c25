"""python data/preprocess.py, as a person runs it."""

import importlib.util
import json
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "data" / "sample.json"
LEAVES = ["rows.counts.json", "rows.dropped.jsonl", "rows.json", "rows.png"]
ROW = {"instruction": "Add in Python", "input": "", "output": "a + b"}


@pytest.fixture
def preprocess(run_python):
    return lambda *arguments, **options: run_python("data/preprocess.py", *arguments, **options)


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def files_under(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def sentence_of(done):
    """The one line on standard error behind the progress bar, of a run that ended with 1."""
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.replace("\r", "\n").split("\n") if line and not line.startswith("rows: ")]
    assert len(lines) == 1, done.stderr
    name, _, sentence = lines[0].partition(": ")
    assert name == "preprocess" and "Traceback" not in done.stderr
    return sentence


@pytest.fixture(scope="module")
def sample_out(tmp_path_factory):
    """The sample, filtered twice: (folder, folder, what was printed)"""
    import subprocess
    import sys

    folders = [tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second") / "deeper"]
    for folder, seed in zip(folders, ("1", "2"), strict=True):  # other hash seeds: sets in another order
        command = [sys.executable, "data/preprocess.py", "--input=data/sample.json", f"--output={folder / 'rows.json'}"]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    return *folders, done.stdout


@pytest.fixture(scope="module")
def sample():
    return json.loads(SAMPLE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def check_sample():
    spec = importlib.util.spec_from_file_location("check_sample", ROOT / "data" / "check_sample.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_four_files_are_left(sample_out):
    assert files_under(sample_out[0]) == LEAVES


@pytest.mark.parametrize("name", LEAVES)
def test_the_same_input_gives_the_same_bytes(sample_out, name):
    first, second, _ = sample_out
    assert (first / name).read_bytes() == (second / name).read_bytes()


def test_every_row_is_kept_in_order_or_dropped_with_its_place(sample_out, sample):
    kept = json.loads((sample_out[0] / "rows.json").read_text(encoding="utf-8"))
    dropped = lines_of(sample_out[0] / "rows.dropped.jsonl")
    assert all(sorted(line) == ["index", "reason", "row", "source"] for line in dropped)
    assert all(line["row"] == sample[line["index"]] and line["source"] == "data/sample.json" for line in dropped)
    places = {line["index"] for line in dropped}
    assert len(places) == len(dropped)
    assert kept == [row for index, row in enumerate(sample) if index not in places]


def test_the_counts_are_those_of_the_rows(sample_out, sample):
    counts = json.loads((sample_out[0] / "rows.counts.json").read_text(encoding="utf-8"))
    reasons = [line["reason"] for line in lines_of(sample_out[0] / "rows.dropped.jsonl")]
    assert counts["reasons"] == {reason: reasons.count(reason) for reason in counts["reasons"]}
    assert sum(counts["reasons"].values()) == counts["clean data"]["Others"] == len(reasons)
    assert sum(counts["raw data"].values()) == sum(counts["clean data"].values()) == len(sample)


def test_the_numbers_are_printed(sample_out, sample):
    dropped = len(lines_of(sample_out[0] / "rows.dropped.jsonl"))
    assert sample_out[2].splitlines()[0] == f"{len(sample)} rows read, {len(sample) - dropped} kept, {dropped} dropped"


def test_every_row_that_is_bad_on_purpose_is_dropped(sample_out, check_sample):
    dropped = {line["row"]["instruction"] for line in lines_of(sample_out[0] / "rows.dropped.jsonl")}
    assert [bad for bad in check_sample.BAD_ON_PURPOSE if bad not in dropped] == []


def test_no_row_that_repeats_another_is_kept_twice(sample_out, check_sample):
    kept = [row["instruction"] for row in json.loads((sample_out[0] / "rows.json").read_text(encoding="utf-8"))]
    assert all(kept.count(instruction) <= 1 for instruction in check_sample.REPEATED)
    assert sum(kept.count(instruction) for instruction in check_sample.REPEATED) >= 3


def test_few_good_rows_are_dropped(sample_out, check_sample):
    """Every row that is neither bad on purpose nor a repetition is good; the filter may misjudge three in a hundred."""
    listed = {*check_sample.BAD_ON_PURPOSE, *check_sample.REPEATED}
    dropped = [line["row"]["instruction"] for line in lines_of(sample_out[0] / "rows.dropped.jsonl")]
    assert sum(instruction not in listed for instruction in dropped) <= 0.03 * 340


def test_several_files_in_several_formats_are_one_set(preprocess, tmp_path):
    first = written(tmp_path / "a.json", json.dumps([ROW]))
    second = written(
        tmp_path / "b.jsonl", json.dumps({**ROW, "output": ""}) + "\n" + json.dumps({**ROW, "output": "b"})
    )
    done = preprocess(f"--input={first},{second}", f"--output={tmp_path}/out/rows.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "rows.json").read_text()) == [ROW, {**ROW, "output": "b"}]
    [dropped] = lines_of(tmp_path / "out" / "rows.dropped.jsonl")
    assert (dropped["source"], dropped["index"], dropped["reason"]) == (str(second), 0, "empty output")


def test_a_file_named_without_a_comma_is_not_lost(preprocess, tmp_path):
    """`--input a.json b.json` once read b.json alone."""
    first, second = (written(tmp_path / name, json.dumps([ROW])) for name in ("a.json", "b.json"))
    done = preprocess("--input", first, second, "--output", tmp_path / "rows.json")
    assert sentence_of(done).startswith(f"unexpected {str(second)!r}")
    assert files_under(tmp_path) == ["a.json", "b.json"]


def test_only_the_languages_asked_for_are_kept(preprocess, tmp_path):
    rows = [{**ROW, "instruction": f"Add in {language}"} for language in ("Python", "Java", "golang", "C#")]
    path = written(tmp_path / "a.json", json.dumps(rows))
    done = preprocess(f"--input={path}", f"--output={tmp_path}/out/rows.json", "--languages=go,PYTHON")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "rows.json").read_text()) == [rows[0], rows[2]]


@pytest.mark.slow
def test_the_published_rules_give_the_published_counts(preprocess, data, tmp_path):
    inputs = f"{data}/code_alpaca_20k.json,{data}/new_codealpaca.json"
    done = preprocess("--input", inputs, "--output", tmp_path / "rows.json", "--rules=codeup")
    assert done.returncode == 0, done.stderr
    counts = json.loads((tmp_path / "rows.counts.json").read_text())
    assert {name: counts[name] for name in ("raw data", "clean data")} == json.loads(
        (data / "pl_num_dis_19k.json").read_text()
    )
    assert len(json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))) == 19_433
    assert len(lines_of(tmp_path / "rows.dropped.jsonl")) == 5_124


ODD = [
    {**ROW, "output": "\ud83d"},  # a lone surrogate
    {**ROW, "instruction": "Python \udfff"},
    {**ROW, "score": float("nan")},
    {**ROW, "input": "\u2028\x00\x7f"},
    {**ROW, "response": {"deep": ["\ud83d"]}},
]


@pytest.mark.parametrize("rules", ["strict", "codeup"])
def test_odd_rows_leave_files_that_any_reader_can_read(preprocess, tmp_path, rules):
    path = written(tmp_path / "a.json", json.dumps([ROW, *ODD]))
    done = preprocess(f"--input={path}", f"--output={tmp_path}/out/rows.json", f"--rules={rules}")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "out" / "rows.json").read_bytes().decode("utf-8")
    kept = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    dropped = lines_of(tmp_path / "out" / "rows.dropped.jsonl")
    assert kept[0] == ROW and len(kept) + len(dropped) == 6
    assert {1, 2} <= {line["index"] for line in dropped}


def test_a_parquet_column_that_json_has_no_word_for_is_no_obstacle(preprocess, tmp_path):
    import datetime

    import pyarrow
    from pyarrow import parquet

    row = {**ROW, "written": datetime.datetime(2024, 1, 2), "raw": b"\xff"}
    parquet.write_table(
        pyarrow.Table.from_pylist([row, {**row, "instruction": "Say it", "output": "No."}]), tmp_path / "a.parquet"
    )
    for rules in ("strict", "codeup"):
        done = preprocess(f"--input={tmp_path}/a.parquet", f"--output={tmp_path}/{rules}/rows.json", f"--rules={rules}")
        assert done.returncode == 0, done.stderr
        [kept] = json.loads((tmp_path / rules / "rows.json").read_text(encoding="utf-8"))
        assert {field: kept[field] for field in ROW} == ROW
        assert len(lines_of(tmp_path / rules / "rows.dropped.jsonl")) == 1


LACKING = json.dumps([ROW, ROW, {"instruction": "a", "input": ""}])


@pytest.mark.parametrize(
    "content, sentence",
    [
        ('[{"instruction": "a"},\n {"b" 1}]', "INPUT: broken JSON at line 2, column 7: Expecting ':' delimiter"),
        ("[3]", "INPUT: row 0 is a number, not an object with instruction, input, output"),
        (LACKING, "INPUT: row 2 has no 'output'; its keys are input, instruction"),
        ("", "INPUT: the file is empty"),
        ("[]", "INPUT: no rows; the file is empty"),
        (b'[{"instruction": "\xff"}]', "INPUT: not readable as JSON"),
        ('{"instruction": "a", "output": "b"}', "INPUT: holds an object, not a list of rows"),
        ('[{"instruction": "a", "output": 3}]', "INPUT: row 0: 'output' is a number, not a string"),
        ("[" * 100_000, "INPUT: not readable as JSON"),
        (None, "no file INPUT"),
    ],
)
def test_a_bad_input_is_one_sentence_and_leaves_nothing(preprocess, tmp_path, content, sentence):
    path = tmp_path / "a.json"
    if content is not None:
        written(path, content)
    found = sentence_of(preprocess(f"--input={path}", f"--output={tmp_path}/out/rows.json"))
    assert found.startswith(sentence.replace("INPUT", str(path)))
    assert files_under(tmp_path) == ([] if content is None else ["a.json"])


@pytest.mark.parametrize(
    "flag, sentence",
    [
        ("--languages=Python,Javva", "unknown language 'Javva'; did you mean Java?"),
        ("--default_language=Pyton", "unknown language 'Pyton'; did you mean Python?"),
        ("--rules=stict", "--rules=stict is not one of strict, codeup"),
        ("--ruels=strict", "unknown flag --ruels, did you mean --rules?"),
    ],
)
def test_a_bad_flag_is_one_sentence_and_leaves_nothing(preprocess, tmp_path, flag, sentence):
    done = preprocess(f"--input={SAMPLE}", f"--output={tmp_path}/rows.json", flag)
    assert sentence_of(done) == sentence and files_under(tmp_path) == []


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (["--languages=Klingon"], "CodeUp's rules know no language 'Klingon'; they know JavaScript, Java, shell, "),
        (["--default_language=Java"], "--default_language=Java goes with --rules strict"),
    ],
)
def test_the_published_rules_say_what_they_do_not_know(preprocess, tmp_path, flags, sentence):
    done = preprocess(f"--input={SAMPLE}", f"--output={tmp_path}/rows.json", "--rules=codeup", *flags)
    assert sentence_of(done).startswith(sentence) and files_under(tmp_path) == []


@pytest.mark.parametrize(
    "output, sentence",
    [
        ("taken/rows.json", "--output: FOLDER/taken is a file, not a folder"),
        ("taken/deeper/rows.json", "--output: FOLDER/taken is a file, not a folder"),
        ("folder.json", "--output: FOLDER/folder.json is a folder"),
        ("rows.jsonl", "--output=FOLDER/rows.jsonl must end in .json"),
        ("rows", "--output=FOLDER/rows must end in .json"),
    ],
)
def test_a_bad_output_is_one_sentence_and_leaves_nothing(preprocess, tmp_path, output, sentence):
    written(tmp_path / "taken", "")
    (tmp_path / "folder.json").mkdir()
    done = preprocess(f"--input={SAMPLE}", f"--output={tmp_path / output}")
    assert sentence_of(done).startswith(sentence.replace("FOLDER", str(tmp_path)))
    assert files_under(tmp_path) == ["taken"]


def test_missing_flags_are_named(preprocess):
    assert sentence_of(preprocess()) == "--input and --output missing; --help lists every flag"


@pytest.mark.parametrize("kilobytes", [8, 100])  # the chart does not fit; the chart fits, the rows do not
def test_a_full_disk_is_one_sentence_and_leaves_no_rows(tmp_path, preprocess, kilobytes):
    import resource

    long = [{**ROW, "output": f"{number} {'x' * 500}"} for number in range(1_000)]
    path = written(tmp_path / "a.json", json.dumps(long))
    limit = (kilobytes * 1024, kilobytes * 1024)
    done = preprocess(
        f"--input={path}",
        f"--output={tmp_path}/out/rows.json",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    blocked = "rows.png" if kilobytes == 8 else "rows.json"
    assert sentence_of(done).startswith(f"no space left on the disk while writing {tmp_path}/out/{blocked}; ")
    assert not (tmp_path / "out" / "rows.json").exists()


def test_a_run_that_fails_leaves_the_rows_of_the_run_before(tmp_path, preprocess):
    written(tmp_path / "rows.json", "mine")
    assert preprocess(f"--input={tmp_path}/none.json", f"--output={tmp_path}/rows.json").returncode == 1
    assert (tmp_path / "rows.json").read_text() == "mine"
