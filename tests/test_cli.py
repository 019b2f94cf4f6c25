"""A command line is checked before its function runs."""

import errno
from typing import Literal

import pytest

from codetune import cli
from codetune.cli import UserError


def tune(
    base_model: str,
    num_epochs: int = 3,
    rate: float = 3e-4,
    quiet: bool = False,
    bf16: bool | None = None,
    modules: list[str] = ("auto",),
    layers: list[int] = (),
    bits: Literal[16, 8, 4] = 16,
    watch: Literal["false", "all"] | None = None,
    seed: int | None = 42,
    resume: bool | str | None = None,
    note: str = "",
):
    """Tune a model.

    Args:
        base_model: what to start from.
        rate: how fast it learns.
    """


ALIASES = {
    "model_path": "base_model",
    "load_8bit": {True: ("bits", "8"), False: ("bits", "16")},
    "use_4bit": {True: ("bits", "4")},
}


def parsed(*argv):
    """The values of `tune`'s flags, without the one it requires."""
    values = cli.parse(tune, ["--base_model=m", *argv], ALIASES)
    assert values.pop("base_model") == "m"
    return values


def stopped(function, *argv):
    """What cli.run says where it refuses."""
    with pytest.raises(SystemExit) as stop:
        cli.run(function, ALIASES, list(argv), "tune")
    return stop.value.code


@pytest.mark.parametrize(
    "argv, values",
    [
        (["--num_epochs=2"], {"num_epochs": 2}),
        (["--num_epochs", "2"], {"num_epochs": 2}),
        (["--num-epochs", "2"], {"num_epochs": 2}),
        (["--rate=1e-4"], {"rate": 0.0001}),
        (["--rate=3"], {"rate": 3.0}),
        (["--rate", "-0.5"], {"rate": -0.5}),
        (["--seed", "-1"], {"seed": -1}),
        (["--seed=0"], {"seed": 0}),
        (["--seed", "none"], {"seed": None}),
        (["--seed=None"], {"seed": None}),
        (["--bits=8"], {"bits": 8}),
        (["--watch=false"], {"watch": "false"}),  # a word of a Literal, not a boolean
        (["--watch=none"], {"watch": None}),
        (["--note=1e3"], {"note": "1e3"}),  # fire alone: 1000.0
        (["--note", "1e3"], {"note": "1e3"}),
        (["--note=007"], {"note": "007"}),
        (["--note=true"], {"note": "true"}),
        (["--note=None"], {"note": "None"}),
        (["--note=[a,b]"], {"note": "[a,b]"}),
        (["--note=a=b"], {"note": "a=b"}),
        (["--note="], {"note": ""}),
        (["--note", "- an item"], {"note": "- an item"}),
        (["--note", "-"], {"note": "-"}),
        (["--resume"], {"resume": True}),
        (["--resume=auto"], {"resume": "auto"}),
        (["--num_epochs=1", "--num_epochs=2"], {"num_epochs": 2}),  # the last one counts, as everywhere
    ],
)
def test_a_flag_is_converted_by_its_annotation(argv, values):
    assert parsed(*argv) == values
    assert [type(value) for value in parsed(*argv).values()] == [type(value) for value in values.values()]


@pytest.mark.parametrize(
    "argv, value",
    [
        (["--quiet"], True),
        (["--quiet=true"], True),
        (["--quiet=True"], True),
        (["--quiet", "false"], False),  # fire alone: the string "false", which is true
        (["--quiet=false"], False),
        (["--quiet=0"], False),
        (["--noquiet"], False),
        (["--no_quiet"], False),
        (["--no-quiet"], False),
    ],
)
def test_a_boolean_is_a_switch_or_a_word(argv, value):
    assert parsed(*argv) == {"quiet": value}


def test_a_switch_before_another_flag_takes_nothing_of_it():
    assert parsed("--bf16", "--seed=1") == {"bf16": True, "seed": 1}


def test_a_flag_whose_own_name_begins_with_no_is_not_negated():
    assert parsed("--note", "x") == {"note": "x"}


@pytest.mark.parametrize("text", ["[q_proj,v_proj]", "q_proj,v_proj", "['q_proj', \"v_proj\"]", "(q_proj, v_proj)"])
def test_a_list_is_written_in_the_ways_people_write_it(text):
    assert parsed(f"--modules={text}") == {"modules": ["q_proj", "v_proj"]}


@pytest.mark.parametrize("text, expected", [("q_proj", ["q_proj"]), ("[q_proj]", ["q_proj"]), ("[]", [])])
def test_a_list_of_one_or_none_is_a_list(text, expected):
    assert parsed(f"--modules={text}") == {"modules": expected}


def test_the_words_of_a_list_have_its_type():
    assert parsed("--layers=1,2") == {"layers": [1, 2]}


@pytest.mark.parametrize(
    "argument, sentence",
    [
        ("--num_epochs=2.5", "--num_epochs=2.5 is not int"),
        ("--num_epochs=1e3", "--num_epochs=1e3 is not int"),
        ("--num_epochs", "--num_epochs=true is not int"),
        ("--rate=fast", "--rate=fast is not a finite number"),
        ("--rate=nan", "--rate=nan is not a finite number"),
        ("--rate=inf", "--rate=inf is not a finite number"),
        ("--quiet=maybe", "--quiet=maybe is not true or false"),
        ("--bits=5", "--bits=5 is not one of 16, 8, 4"),
        ("--seed=x", "--seed=x is not int"),
        ("--layers=1,b", "--layers=1,b is not list of int"),
        ("--load_8bit=8", "--load_8bit=8 is not true or false"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(argument, sentence):
    with pytest.raises(UserError) as error:
        parsed(argument)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    "argv, values",
    [
        (["--load_8bit"], {"bits": 8}),
        (["--load-8bit"], {"bits": 8}),
        (["--load_8bit=false"], {"bits": 16}),
        (["--noload_8bit"], {"bits": 16}),
        (["--use_4bit"], {"bits": 4}),
        (["--use_4bit=false"], {}),  # says nothing about the other numbers of bits
    ],
)
def test_a_switch_can_stand_for_the_value_of_another_flag(argv, values):
    assert parsed(*argv) == values


def test_a_flag_has_other_names():
    assert cli.parse(tune, ["--model_path", "m"], ALIASES) == {"base_model": "m"}


def test_an_error_names_the_flag_as_it_was_typed():
    with pytest.raises(UserError, match=r"^--epochs=x is not int$"):
        cli.parse(tune, ["--base_model=m", "--epochs=x"], {"epochs": "num_epochs"})


def test_a_value_without_a_flag_fills_the_first_required_one():
    assert cli.parse(tune, ["m", "--seed=1"]) == {"base_model": "m", "seed": 1}


def pair(first: list[str], second: str, third: int = 0):
    pass


def test_values_without_flags_fill_the_required_ones_in_order():
    assert cli.parse(pair, ["a", "b"]) == {"first": ["a"], "second": "b"}


@pytest.mark.parametrize("argv", [["a", "--second=b"], ["--second=b", "a"], ["--first=a", "b"], ["b", "--first=a"]])
def test_a_value_without_a_flag_fills_a_required_one_that_is_not_named(argv):
    assert cli.parse(pair, argv) == {"first": ["a"], "second": "b"}


# `--input a.json b.json --output o.json` once read b.json alone and said nothing of a.json.
@pytest.mark.parametrize("argv", [["--first", "a", "c", "--second", "b"], ["a", "b", "c"], ["--second=b", "a", "c"]])
def test_a_value_too_many_is_refused(argv):
    with pytest.raises(UserError, match="unexpected 'c'"):
        cli.parse(pair, argv)


def test_every_missing_flag_is_named():
    with pytest.raises(UserError, match="^--first and --second missing"):
        cli.parse(pair, [])


@pytest.mark.parametrize(
    "typed, near",
    [("--learnig_rate", "--learning_rate"), ("--model_paht", "--model_path"), ("--base-modle", "--base_model")],
)
def test_an_unknown_flag_names_the_nearest_one_before_the_function_runs(typed, near):
    calls = []

    def finetune(base_model: str, learning_rate: float = 3e-4):
        calls.append(base_model)

    unknown = typed.replace("-", "_").replace("__", "--", 1)
    assert stopped(finetune, "m", f"{typed}=1") == f"tune: unknown flag {unknown}, did you mean {near}?"
    assert calls == []


def test_a_flag_near_to_none_points_at_help():
    assert stopped(tune, "m", "--zzz=1") == "tune: unknown flag --zzz; see --help"


@pytest.mark.parametrize(
    "text", ["-", "- an item", "1e3", "a,b", "[a", "None", "--", "x --note y", "a=b", "'q'", "é 好"]
)
def test_a_text_reaches_the_function_as_it_was_typed(text):
    seen = []

    def say(note: str, loud: bool = True):
        seen.append((note, loud))

    cli.run(say, argv=[f"--note={text}", "--loud=false"], name="say")
    assert seen == [(text, False)]


def test_a_flag_left_out_has_its_default():
    seen = []

    def say(note: str, modules: list[str] = ("auto",), seed: int | None = None):
        seen.append((note, modules, seed))

    cli.run(say, argv=["x"], name="say")
    assert seen == [("x", ("auto",), None)]


def test_what_the_function_returns_is_not_printed(capsys):
    cli.run(lambda: [1, 2], argv=[], name="say")
    assert capsys.readouterr().out == ""


def test_an_interrupt_ends_with_130(capsys):
    def wait():
        raise KeyboardInterrupt

    assert stopped(wait) == 130
    assert capsys.readouterr().err == "\ntune: stopped\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_one_sentence(number):
    def write():
        raise OSError(number, "no room", "out/rows.json")

    assert stopped(write) == (
        "tune: no space left on the disk while writing out/rows.json; "
        "free some or choose another output, then run it again"
    )


def test_an_error_that_no_person_can_fix_keeps_its_traceback():
    def broken():
        raise OSError(errno.EBADF, "a bug of ours")

    with pytest.raises(OSError, match="a bug of ours"):
        cli.run(broken, argv=[], name="tune")


PROGRAM = """
import sys
from codetune import cli

def tool(rank: int = 8):
    print("ran")
    if rank == 3:
        raise cli.UserError("rank 3 does not go")

cli.run(tool, name="tool")
"""


@pytest.mark.parametrize(
    "argument, sentence",
    [
        ("--rnak=4", "tool: unknown flag --rnak, did you mean --rank?\n"),
        ("--rank=4.5", "tool: --rank=4.5 is not int\n"),
    ],
)
def test_a_wrong_command_line_ends_with_1_and_one_line_and_nothing_done(run_python, argument, sentence):
    done = run_python("-c", PROGRAM, argument)
    assert (done.returncode, done.stderr, done.stdout) == (1, sentence, "")


def test_a_user_error_ends_with_1_and_one_line(run_python):
    done = run_python("-c", PROGRAM, "--rank=3")
    assert (done.returncode, done.stderr, done.stdout) == (1, "tool: rank 3 does not go\n", "ran\n")


def test_a_right_command_line_ends_with_0(run_python):
    done = run_python("-c", PROGRAM, "--rank=4")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "ran\n")


@pytest.mark.parametrize("asked", [["--help"], ["-h"], ["m", "--seed=1", "--help"]])
def test_help_lists_every_flag_with_type_default_and_meaning_and_runs_nothing(asked, capsys):
    cli.run(tune, ALIASES, asked, "tune")
    page = capsys.readouterr().out
    assert page.startswith("tune: Tune a model.\n")
    assert "  --base_model   (str; required)\n      what to start from.\n" in page
    assert "  --rate   (a finite number; default 0.0003)\n      how fast it learns.\n" in page
    assert "  --bits   (one of 16, 8, 4; default 16)\n" in page
    assert "  --modules   (list of str; default auto)\n" in page
    assert "  --quiet   (true or false; default false)\n" in page
    assert "Also accepted: --model_path, --load_8bit, --use_4bit" in page


SHOW_IMPORTS = """
import runpy, sys
script, heavy = sys.argv[1], sys.argv[2].split(",")
sys.argv = [script, "--help"]
runpy.run_path(script, run_name="__main__")
print("imported:", [name for name in heavy if name in sys.modules])
"""


@pytest.mark.parametrize("script", ["finetune.py", "generate.py", "export_checkpoint.py", "data/preprocess.py"])
def test_help_waits_for_no_heavy_library(run_python, script):
    heavy = "torch,transformers,gradio,datasets,matplotlib,numpy,peft,pandas,pyarrow"
    done = run_python("-c", SHOW_IMPORTS, script, heavy)
    assert (done.returncode, done.stderr) == (0, "")
    assert "[flags]" in done.stdout
    assert done.stdout.splitlines()[-1] == "imported: []"
