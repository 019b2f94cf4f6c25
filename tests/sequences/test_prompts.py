"""A template makes a row's prompt, letter by letter the published one."""

import json

import pytest

from codetune.cli import UserError
from codetune.sequences import prompts

BOTH = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
)
ALONE = "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
FRENCH_BOTH = (
    "Ci-dessous se trouve une instruction qui décrit une tâche, associée à une entrée qui fournit un contexte "
    "supplémentaire. Écrivez une réponse qui complète correctement la demande.\n\n"
)
FRENCH_ALONE = (
    "Ci-dessous se trouve une instruction qui décrit une tâche. "
    "Écrivez une réponse qui complète correctement la demande.\n\n"
)
NAMES = ("alpaca", "alpaca_legacy", "alpaca_short", "vigogne")
FORM = {"prompt_input": "{instruction} {input}>", "prompt_no_input": "{instruction}>", "response_split": ">"}


# The strings of alpaca-lora's templates/*.json, which CodeUp took over.
@pytest.mark.parametrize(
    "name, with_input, without",
    [
        (
            "alpaca",
            BOTH + "### Instruction:\nAdd\n\n### Input:\n1 2\n\n### Response:\n",
            ALONE + "### Instruction:\nAdd\n\n### Response:\n",
        ),
        (
            "alpaca_legacy",
            BOTH + "### Instruction:\nAdd\n\n### Input:\n1 2\n\n### Response:",
            ALONE + "### Instruction:\nAdd\n\n### Response:",
        ),
        (
            "alpaca_short",
            "### Instruction:\nAdd\n\n### Input:\n1 2\n\n### Response:\n",
            "### Instruction:\nAdd\n\n### Response:\n",
        ),
        (
            "vigogne",
            FRENCH_BOTH + "### Instruction:\nAdd\n\n### Entrée:\n1 2\n\n### Réponse:\n",
            FRENCH_ALONE + "### Instruction:\nAdd\n\n### Réponse:\n",
        ),
    ],
)
def test_a_template_gives_the_published_prompt(name, with_input, without):
    template = prompts.load(name)
    assert template.prompt("Add", "1 2") == with_input
    assert template.prompt("Add") == template.prompt("Add", "") == without


def test_these_are_all_the_templates():
    assert sorted(path.stem for path in prompts.FOLDER.glob("*.json")) == list(NAMES)


@pytest.mark.parametrize(
    "text", ["{input}", "{instruction}", "{}", "{{x}}", "f'{x!r}'", "\\1 \\g<0>", "{prompt}", "%s $x"]
)
def test_braces_and_signs_in_a_row_stay_as_they_are(text):
    template = prompts.of(FORM, "short", "short")
    assert template.prompt(text, "b") == f"{text} b>"
    assert template.prompt("a", text) == f"a {text}>"


@pytest.mark.parametrize("name", NAMES)
def test_the_response_is_found_behind_the_prompt(name):
    template = prompts.load(name)
    for prompt in (template.prompt("Add", "1 2"), template.prompt("Add")):
        assert template.response(prompt + "x = 1\ny = 2") == "x = 1\ny = 2"


@pytest.mark.parametrize(
    "text, response",
    [
        ("prompt ### Response:\n x = 1 \n", "x = 1"),
        ("no prompt at all\n", "no prompt at all"),
        ("### Response:a ### Response: b", "a ### Response: b"),  # the first one is the prompt's
        ("### Response:", ""),
    ],
)
def test_the_response_stands_behind_the_first_split(text, response):
    assert prompts.load("alpaca").response(text) == response


@pytest.mark.parametrize("name", NAMES)
def test_the_next_instruction_stops_an_answer(name):
    assert prompts.load(name).stops == ("\n### Instruction:",)


def test_a_template_without_headings_stops_at_nothing():
    assert prompts.of(FORM, "short", "short").stops == ()


@pytest.mark.parametrize(
    "key, form, hole",
    [
        ("prompt_input", "{input}>", "instruction"),
        ("prompt_no_input", ">", "instruction"),
        ("prompt_input", "{instruction}>", "input"),
        ("prompt_no_input", "{Instruction}>", "instruction"),
    ],
)
def test_a_template_that_hides_the_row_is_refused(key, form, hole):
    with pytest.raises(UserError) as error:
        prompts.of({**FORM, key: form}, "mine", "mine.json")
    assert str(error.value) == f"mine.json: {key} has no {{{hole}}}, so the model would never see it; add it"


@pytest.mark.parametrize("key", ["prompt_input", "prompt_no_input", "response_split"])
@pytest.mark.parametrize("value", [None, 3, ["a"]])
def test_a_template_needs_three_strings(key, value):
    with pytest.raises(UserError, match=f"^mine.json: a template needs '{key}' as a string$"):
        prompts.of({**FORM, key: value}, "mine", "mine.json")


def test_a_template_is_an_object():
    with pytest.raises(UserError, match="a template is an object with prompt_input"):
        prompts.of(["a"], "mine", "mine.json")


@pytest.mark.parametrize("typed, near", [("alpca", "alpaca"), ("alpaca_shrt", "alpaca_short"), ("vigone", "vigogne")])
def test_an_unknown_name_gets_the_nearest_and_all_others(typed, near):
    with pytest.raises(UserError) as error:
        prompts.load(typed)
    assert str(error.value) == (
        f"no template {typed!r} in templates/, did you mean {near}?; "
        "there are: alpaca, alpaca_legacy, alpaca_short, vigogne"
    )


def test_a_template_is_read_from_a_file(tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps(FORM), encoding="utf-8")
    template = prompts.load(str(tmp_path / "mine.json"))
    assert (template.name, template.prompt("a", "b"), template.description) == ("mine", "a b>", "")


def test_a_broken_template_file_says_where(tmp_path):
    (tmp_path / "mine.json").write_text('{\n"prompt_input" 3}')
    with pytest.raises(UserError, match=r"mine\.json: broken JSON at line 2, column 16"):
        prompts.load(str(tmp_path / "mine.json"))


@pytest.mark.parametrize("name", NAMES)
def test_a_template_is_the_same_after_a_way_through_json(name):
    template = prompts.load(name)
    assert prompts.of(json.loads(json.dumps(template.as_dict())), name, "codetune.json") == template
