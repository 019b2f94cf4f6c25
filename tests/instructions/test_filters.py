"""The published rules are repeated exactly; ours drop what is of no use, with the reason."""

import json
from collections import Counter

import pytest

from codetune.instructions import filters, records
from codetune.instructions.filters import Verdict

PYTHON = "def add(a, b):\n    return a + b\n"
JAVA = (
    "import java.util.List;\n\npublic class Main {\n    public static void main(String[] args) {\n"
    '        List<String> names = List.of("a");\n        System.out.println(names);\n    }\n}\n'
)
PROSE = "Lisbon is the capital of Portugal."


def numbered(*rows):
    """(instruction, output) or (instruction, input, output) -> records"""
    fields = [(row[0], "", row[1]) if len(row) == 2 else row for row in rows]
    return [
        records.Record(dict(zip(records.FIELDS, row, strict=True)), "rows.json", index)
        for index, row in enumerate(fields)
    ]


def strictly(*row, **options):
    _, _, [verdict] = filters.strict(numbered(row), **options)
    return verdict


@pytest.fixture(scope="module")
def published(data):
    """CodeUp's rules on its own two input files."""
    rows = records.read([str(data / "code_alpaca_20k.json"), str(data / "new_codealpaca.json")])
    return rows, *filters.codeup(rows)


def test_the_published_48_counts_come_out(published, data):
    _, _, named, verdicts = published
    counts = filters.counts(named, verdicts, filters.CODEUP_TABLE)
    expected = json.loads((data / "pl_num_dis_19k.json").read_text())
    assert {name: counts[name] for name in ("raw data", "clean data")} == expected
    assert [list(counts[name]) for name in expected] == [list(table) for table in expected.values()]
    assert sum(map(len, expected.values())) == 48


def test_the_published_number_of_rows_is_kept(published):
    rows, kept, _, verdicts = published
    assert (len(rows), len(kept), sum(verdict.reason is not None for verdict in verdicts)) == (24_557, 19_433, 5_124)


def test_published_rows_keep_their_fourth_key(published):
    kept = published[1]
    with_response = [row for row in kept if "response" in row]
    assert len(with_response) == 4_382 and all(row["response"] == row["output"] for row in with_response)


def test_published_rows_stand_named_ones_first_then_python_each_in_input_order(published):
    rows, kept, named, verdicts = published
    first = [r.row for r, name in zip(rows, named, strict=True) if name]
    second = [r.row for r, name, v in zip(rows, named, verdicts, strict=True) if not name and not v.reason]
    assert len(second) == 5_204 and kept == first + second


@pytest.mark.parametrize(
    "source, decisions",
    [("code_alpaca_2k.json", "codeup_decisions_2k.json"), ("new_codealpaca.json", "codeup_decisions_new.json")],
)
def test_every_row_is_decided_as_published(data, source, decisions):
    expected = json.loads((data / "guesslang" / decisions).read_text())
    _, named, verdicts = filters.codeup(records.read([str(data / source)]))
    assert named == [decision["name"] for decision in expected["decisions"]]
    assert [v.reason is None for v in verdicts] == [decision["kept"] for decision in expected["decisions"]]
    counts = filters.counts(named, verdicts, filters.CODEUP_TABLE)
    assert [counts["raw data"], counts["clean data"]] == [expected["raw data"], expected["clean data"]]


@pytest.mark.parametrize(
    "instruction, language",
    [
        ("Write Javascript", "Java"),  # as published, wrong as it is
        ("Write JavaScript", "JavaScript"),
        ("Google it", "Go"),
        ("Connect to MySQL from PHP", "SQL"),
        ("Use Bash", "shell"),
        ("Write C code", "C++/C"),
        ("Write C", None),  # a space must follow
        ("Use R to plot", "R"),
        ("use python", None),
    ],
)
def test_the_published_needles_are_case_sensitive_and_the_first_wins(instruction, language):
    assert filters.codeup_named(instruction) == language


def test_a_row_of_broken_unicode_is_not_kept_by_the_published_rules():
    """It once was where its instruction names a language, and writing the rows ended in a traceback."""
    kept, _, verdicts = filters.codeup(numbered(("Write Python", "\ud83d"), ("Write Python", "x")))
    assert kept == [{"instruction": "Write Python", "input": "", "output": "x"}]
    assert verdicts[0].reason and not verdicts[1].reason


def test_the_published_rules_can_keep_some_languages():
    rows = numbered(("Write Python", "x"), ("Write Java", "x"), ("Add", PYTHON))
    kept, _, verdicts = filters.codeup(rows, keep={"Python"})
    assert kept == [rows[0].row, rows[2].row]
    assert verdicts[1] == Verdict("Java", "Java is not among --languages")


@pytest.mark.parametrize(
    "row, expected",
    [
        (("Add two numbers in Python.", PYTHON), Verdict("Python", None)),
        (("Add two numbers in Java.", PYTHON), Verdict("Java", None)),  # the word is believed
        (("Add two numbers.", PYTHON), Verdict("Python", None)),
        (("Mend this.", PYTHON, "There was no mistake."), Verdict("Python", None)),
        (("Translate this Python to Java.", PYTHON, JAVA), Verdict("Java", None)),
        (
            ("Explain this Python to a Java programmer", "x"),
            Verdict("Java", None),
        ),  # neither is seen: the first of NAMES
        (("Add two numbers.", JAVA), Verdict("Java", "no language named, answered in Java")),
        (("Name the capital of Portugal.", PROSE), Verdict(None, "no language named, none recognised")),
        (("Add in Python.", ""), Verdict(None, "empty output")),
        (("Add in Python.", " \n\t"), Verdict(None, "empty output")),
        ((" \n", PYTHON), Verdict(None, "empty instruction")),
        (("Add in Python.", "\ud83d"), Verdict(None, "broken Unicode")),
        (("Add \udc00 in Python.", PYTHON), Verdict(None, "broken Unicode")),
        (("Add in Python.", f"{PYTHON}\n### Instruction:\nAnd now"), Verdict(None, "prompt markers in the output")),
        (("Add in Python.", f"{PYTHON}<|im_end|>"), Verdict(None, "prompt markers in the output")),
        (("Draw in Python.", "I'm sorry, but I can't draw."), Verdict(None, "refusal")),
        (("Draw in Python.", "As an AI language model, I do not draw."), Verdict(None, "refusal")),
        (("Draw in Python.", "I cannot draw."), Verdict(None, "refusal")),
        (("Draw in Python.", "I can’t draw."), Verdict(None, "refusal")),
        (("Draw in Python.", "Unfortunately, I am unable to draw."), Verdict(None, "refusal")),
        (("Draw in Python.", "<nooutput>"), Verdict(None, "refusal")),
        (("Draw in Python.", "N/A"), Verdict(None, "refusal")),
    ],
)
def test_a_row_is_kept_or_dropped_with_its_reason(row, expected):
    assert strictly(*row) == expected


@pytest.mark.parametrize(
    "output",
    [
        "sorry = 'I cannot do that'",
        "print('Sorry, I cannot do that.')",
        "# I am an AI\nx = 1",
        "import numpy as np\nnan = np.nan",
        "i = can_not",
        "N = 3",
    ],
)
def test_code_that_speaks_of_refusing_is_no_refusal(output):
    assert strictly("Write it in Python.", output).reason is None


def test_a_heading_inside_code_is_no_prompt_marker():
    assert strictly("Write it in Python.", "#### Response: no\nprint('### Response:')").reason is None


def test_any_default_keeps_whichever_language_is_plainly_seen():
    assert strictly("Add two numbers.", JAVA, default=None) == Verdict("Java", None)
    assert strictly("Name the capital.", PROSE, default=None).reason == "no language named, none recognised"


def test_another_default_keeps_its_own_language():
    assert strictly("Add two numbers.", JAVA, default="Java") == Verdict("Java", None)
    assert strictly("Add.", PYTHON, default="Java") == Verdict("Python", "no language named, answered in Python")


def test_a_language_that_was_not_asked_for_is_dropped():
    assert strictly("Add in Java.", "x", keep={"Python", "Go"}) == Verdict("Java", "Java is not among --languages")
    assert strictly("Add in Python.", "x", keep={"Python", "Go"}) == Verdict("Python", None)


def test_the_first_of_equal_rows_stays_whatever_space_is_around_them():
    rows = numbered(("In Python", "x"), ("In Python ", "x\n"), ("In Python", "y"), ("In Python", "x"))
    kept, _, verdicts = filters.strict(rows)
    assert [row["output"] for row in kept] == ["x", "y"]
    assert [verdict.reason for verdict in verdicts] == [None, "exact duplicate", None, "exact duplicate"]


def test_rows_that_differ_in_where_their_words_stand_are_no_duplicates():
    kept, _, _ = filters.strict(numbered(("In Python", "a", "b"), ("In Python", "", "a b"), ("In Python", "b", "a")))
    assert len(kept) == 3


def test_kept_rows_keep_the_input_s_order_and_three_keys():
    rows = numbered(("Add.", PYTHON), ("In Java", "1"), ("Say it", PROSE), ("Add in Go", "2"), ("Mend.", PYTHON, "x"))
    rows[1].row["response"] = "1"
    kept, named, _ = filters.strict(rows)
    assert [row["instruction"] for row in kept] == ["Add.", "In Java", "Add in Go", "Mend."]
    assert all(tuple(row) == records.FIELDS for row in kept)
    assert named == [None, "Java", None, "Go", None]


def test_kept_real_rows_keep_the_input_s_order(data):
    rows = records.read([str(data / "code_alpaca_2k.json")])
    kept, _, verdicts = filters.strict(rows)
    assert kept == [
        {field: r.row[field] for field in records.FIELDS} for r, v in zip(rows, verdicts, strict=True) if not v.reason
    ]
    assert 1_000 < len(kept) < len(rows)


def test_no_rows_give_nothing():
    for judge in (filters.strict, filters.codeup):
        assert judge([]) == ([], [], [])


def test_counts_before_and_after_sum_to_all_rows():
    named = ["Go", None, "Java", None]
    verdicts = [
        Verdict("Go", None),
        Verdict("Python", None),
        Verdict("Java", "exact duplicate"),
        Verdict(None, "refusal"),
    ]
    assert filters.counts(named, verdicts) == {
        "raw data": {"Go": 1, "Python": 0, "Java": 1, "Others": 2},
        "clean data": {"Go": 1, "Python": 1, "Java": 0, "Others": 2},
        "reasons": {"exact duplicate": 1, "refusal": 1},
    }


def test_every_reason_s_count_is_that_of_its_rows(data):
    rows = records.read([str(data / "code_alpaca_2k.json")])
    kept, named, verdicts = filters.strict(rows)
    counts = filters.counts(named, verdicts)
    assert counts["reasons"] == Counter(verdict.reason for verdict in verdicts if verdict.reason)
    assert sum(counts["raw data"].values()) == sum(counts["clean data"].values()) == len(rows)
    assert sum(counts["reasons"].values()) == len(rows) - len(kept)
