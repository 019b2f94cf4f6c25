"""Prompt and response become ids and labels, and the end is always trained."""

import pytest

from codetune.cli import UserError
from codetune.sequences import prompts, tokens
from codetune.sequences.tokens import IGNORE, Example

TEMPLATES = ("alpaca", "alpaca_legacy", "alpaca_short", "vigogne")
FORM = {"prompt_input": "{instruction} {input}>", "prompt_no_input": "{instruction}>", "response_split": ">"}
END = 256


@pytest.fixture
def short():
    """ "a", "b" -> "a b>" """
    return prompts.of(FORM, "short", "short")


def row(instruction, output, input=""):
    return {"instruction": instruction, "input": input, "output": output}


def test_only_the_response_and_the_end_are_trained(byte_tokenizer):
    ids, labels = tokens.encode(byte_tokenizer, "ab", "c")
    assert ids == [97, 98, 99, END]
    assert labels == [IGNORE, IGNORE, 99, END]


def test_the_prompt_is_trained_too_where_asked_for(byte_tokenizer):
    ids, labels = tokens.encode(byte_tokenizer, "ab", "c", train_on_inputs=True)
    assert ids == [97, 98, 99, END]
    assert labels == [IGNORE, 98, 99, END]  # nothing stands before the first token, so nothing predicts it


@pytest.mark.parametrize("inputs, labels", [(False, [IGNORE, IGNORE, 99, END]), (True, [IGNORE, 97, 99, END])])
def test_a_text_begins_as_the_model_was_trained(byte_tokenizer, inputs, labels):
    byte_tokenizer.adds_bos = True
    assert tokens.encode(byte_tokenizer, "a", "c", inputs) == Example([257, 97, 99, END], labels)


def test_a_begin_token_with_id_0_is_a_begin_token(byte_tokenizer):
    byte_tokenizer.adds_bos, byte_tokenizer.bos_id = True, 0
    assert tokens.prompt_ids(byte_tokenizer, "a") == [0, 97]


def test_an_end_token_in_the_prompt_is_not_trained_and_the_last_one_is():
    assert tokens.join([7, 0, 8], [9], 0) == Example([7, 0, 8, 9, 0], [IGNORE, IGNORE, IGNORE, 9, 0])


def test_ids_are_those_of_prompt_response_and_end_apart(real_tokenizer, real_rows):
    template = prompts.load("alpaca")
    for each in real_rows:
        prompt = template.prompt(each["instruction"], each["input"])
        begin = (
            [real_tokenizer.bos_id] if real_tokenizer.folder.name in ("llama2", "llama2-fast", "deepseek-coder") else []
        )
        before = begin + real_tokenizer.encode(prompt)
        after = [*real_tokenizer.encode(each["output"], continues=True), real_tokenizer.eos_id]
        ids, labels = tokens.encode(real_tokenizer, prompt, each["output"])
        assert ids == before + after and labels == [IGNORE] * len(before) + after


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_prompt_s_ids_in_serving_begin_the_ids_in_training(real_tokenizer, real_rows, name):
    """TRL and CodeUp encode prompt and response as one text: the border's ids differ in up to 100 % of rows."""
    template = prompts.load(name)
    answered = [each for each in real_rows if each["output"].strip()]
    examples, _ = tokens.encode_rows(real_tokenizer, template, answered, 100_000)
    assert len(examples) == len(answered) > 95
    for each, example in zip(answered, examples, strict=True):
        served = tokens.prompt_ids(real_tokenizer, template.prompt(each["instruction"], each["input"]))
        assert example.ids[: len(served)] == served
        assert set(example.labels[: len(served)]) == {IGNORE} and IGNORE not in example.labels[len(served) :]


@pytest.mark.parametrize("inputs", [False, True])
def test_the_end_of_every_real_row_is_trained(real_tokenizer, real_rows, inputs):
    for truncate in (False, True):
        examples, _ = tokens.encode_rows(
            real_tokenizer, prompts.load("alpaca"), real_rows, 200, train_on_inputs=inputs, truncate=truncate
        )
        assert len(examples) > 60
        for ids, labels in examples:
            assert ids[-1] == labels[-1] == real_tokenizer.eos_id and len(ids) == len(labels) <= 200


def test_what_is_trained_decodes_to_the_response(real_tokenizer, real_rows):
    kept = [each for each in real_rows if each["output"].isascii() and each["output"].strip()]
    examples, _ = tokens.encode_rows(real_tokenizer, prompts.load("alpaca"), kept, 100_000)
    for each, example in zip(kept, examples, strict=True):
        assert real_tokenizer.decode([label for label in example.labels if label != IGNORE]) == each["output"]


def test_rows_are_encoded_as_one_by_one(byte_tokenizer, short):
    rows = [row("a", "xy"), row("b", "z", input="c")]
    examples, left_out = tokens.encode_rows(byte_tokenizer, short, iter(rows), 100)
    assert examples == [tokens.encode(byte_tokenizer, "a>", "xy"), tokens.encode(byte_tokenizer, "b c>", "z")]
    assert not left_out


def test_a_row_that_does_not_fit_is_left_out_and_counted(byte_tokenizer, short):
    rows = [row("a", "123"), row("a", "1234"), row("a", "12345"), row("abcdefg", "1")]
    examples, left_out = tokens.encode_rows(byte_tokenizer, short, rows, 7)  # "a>" and the end leave room for 4
    assert [len(example.ids) for example in examples] == [6, 7]
    assert left_out == {"are longer than --cutoff_len and left out": 2}


def test_truncating_cuts_the_response_and_keeps_the_end(byte_tokenizer, short):
    [example], left_out = tokens.encode_rows(byte_tokenizer, short, [row("a", "123456")], 7, truncate=True)
    assert example == Example([97, 62, 49, 50, 51, 52, END], [IGNORE, IGNORE, 49, 50, 51, 52, END])
    assert left_out == {"are cut to --cutoff_len, their end kept": 1}


@pytest.mark.parametrize("length, kept", [(3, 0), (4, 1)])
def test_truncating_never_leaves_a_prompt_without_any_response(byte_tokenizer, short, length, kept):
    examples, left_out = tokens.encode_rows(byte_tokenizer, short, [row("a", "123")], length, truncate=True)
    assert len(examples) == kept and sum(left_out.values()) == 1


@pytest.mark.parametrize("output", ["", " ", "\n\t"])
def test_a_row_without_an_answer_is_left_out_and_counted(byte_tokenizer, short, output):
    examples, left_out = tokens.encode_rows(byte_tokenizer, short, [row("a", output), row("a", "x")], 100)
    assert [example.ids for example in examples] == [[97, 62, 120, END]]
    assert left_out == {"have an empty output": 1}


def test_training_on_inputs_reaches_rows(byte_tokenizer, short):
    [example], _ = tokens.encode_rows(byte_tokenizer, short, [row("a", "x")], 100, train_on_inputs=True)
    assert example.labels == [IGNORE, 62, 120, END]


def test_no_rows_give_no_examples(byte_tokenizer, short):
    examples, left_out = tokens.encode_rows(byte_tokenizer, short, [], 100)
    assert examples == [] and not left_out


@pytest.mark.parametrize(
    "example, found",
    [
        (Example([1, 2, 0], [IGNORE, 2, 0]), []),
        (Example([1, 2, 0], [IGNORE, IGNORE, 0]), []),
        (Example([1, 2, 0], [IGNORE] * 3), ["no token is trained", "the end token is not trained"]),
        (Example([0], [0]), ["no token is trained"]),  # nothing comes before it
        (Example([1, 2, 0], [IGNORE, 2, IGNORE]), ["the end token is not trained"]),  # pad == eos, masked by id
        (Example([1, 2, 3], [IGNORE, 2, 3]), ["the end token is not trained"]),  # cut with its end
    ],
)
def test_what_would_be_trained_wrongly_is_named(example, found):
    assert tokens.faults(example, 0) == found


def test_the_first_wrong_example_stops_with_its_number():
    sound, wrong = Example([1, 0], [IGNORE, 0]), Example([1, 2], [IGNORE, 2])
    tokens.check([sound, sound], 0)
    with pytest.raises(UserError, match="^example 1 must not be trained: the end token is not trained; "):
        tokens.check([sound, wrong, wrong], 0)


def test_runs_join_neighbours_that_are_trained_alike():
    assert tokens.runs([5, 6, 7, 8], [IGNORE, 6, 7, IGNORE]) == [(False, [5]), (True, [6, 7]), (False, [8])]
    assert tokens.runs([], []) == []


def test_trained_tokens_are_painted_green_and_the_rest_dim(byte_tokenizer, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    example = tokens.encode(byte_tokenizer, "é>", "x")
    assert tokens.painted(byte_tokenizer, example) == "\033[2mé>\033[0m\033[1;32mx<end>\033[0m"


def test_without_colour_trained_tokens_stand_in_brackets(byte_tokenizer, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    byte_tokenizer.adds_bos = True
    assert tokens.painted(byte_tokenizer, tokens.encode(byte_tokenizer, "é>", "x")) == "<begin>é>⟦x<end>⟧"


def test_painting_leaves_no_text_out(real_tokenizer, real_rows, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    end = real_tokenizer.token(real_tokenizer.eos_id)
    for each in real_rows[:20]:
        prompt, response = f"### {each['instruction']}\n", each["output"]
        painted = tokens.painted(real_tokenizer, tokens.encode(real_tokenizer, prompt, response))
        assert painted.endswith(f"{prompt}⟦{response}{end}⟧")


def test_held_out_and_trained_examples_are_all_examples_in_their_order():
    train, held_out = tokens.hold_out(list(range(20)), 5, seed=1)
    assert len(held_out) == 5 and sorted(train + held_out) == list(range(20))
    assert train == sorted(train) and held_out == sorted(held_out)


def test_the_seed_alone_decides_which_examples_are_held_out():
    first = tokens.hold_out(list(range(50)), 5, seed=0)
    assert tokens.hold_out(list(range(50)), 5, seed=0) == first
    assert tokens.hold_out(list(range(50)), 5, seed=1) != first


def test_none_are_held_out_where_none_are_asked_for():
    assert tokens.hold_out([1, 2], 0, seed=1) == ([1, 2], [])


def test_a_fingerprint_is_that_of_ids_labels_and_order():
    one, other = Example([1, 0], [IGNORE, 0]), Example([1, 0], [1, 0])
    found = {tokens.fingerprint(examples) for examples in ([one, other], [other, one], [one], [one, one], [])}
    assert len(found) == 5
    assert tokens.fingerprint([one, other]) == tokens.fingerprint([Example(*one), Example(*other)])
