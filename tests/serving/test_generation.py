"""The stream: whole characters, stop words wherever they fall, and a stop that stops."""

import threading

import pytest
import torch

from codetune.cli import UserError
from codetune.serving import generation
from codetune.serving.generation import Characters, Sampling, StopWords
from codetune.text import tokenizers
from codetune.training import models, tiny

GREEDY = Sampling(temperature=0, max_new_tokens=24)


@pytest.fixture(scope="module", params=tiny.NAMES)
def pair(request):
    folder = tiny.folder(request.param)
    return models.load(folder, on="cpu").eval(), tokenizers.load(folder)


def pieces_of(stops, texts):
    words = StopWords(stops)
    return [words.feed(text) for text in texts] + [words.flush() if not words.found else ""]


@pytest.mark.parametrize(
    "stops, texts, expected",
    [
        (["END"], ["abE", "N", "Dcd"], ["ab", "", "", ""]),  # spans three pieces; what follows is gone
        (["END"], ["abE", "N", "x"], ["ab", "", "ENx", ""]),  # only looked like one
        (["END"], ["abEN"], ["ab", "EN"]),  # the text ends in the middle
        (["b", "ab"], ["xab"], ["x", ""]),  # the earliest wins
        (["aab"], ["aaab"], ["a", ""]),  # the beginning repeats
        ([], ["abc"], ["abc", ""]),
        ([""], ["abc"], ["abc", ""]),  # an empty stop word stops nothing
    ],
)
def test_stop_words_are_found_across_pieces(stops, texts, expected):
    assert pieces_of(stops, texts) == expected


def test_a_character_of_four_bytes_comes_whole():
    characters = Characters(lambda ids: bytes(ids).decode("utf-8", "replace"))
    smile = "é😀".encode()
    assert [characters.feed([byte]) for byte in smile] == ["", "é", "", "", "", "😀"]
    assert characters.flush() == ""


def test_bytes_that_never_become_a_character_do_not_hold_the_stream():
    characters = Characters(lambda ids: bytes(ids).decode("utf-8", "replace"))
    shown = "".join(characters.feed([0xFF]) for _ in range(40)) + characters.flush()
    assert shown == "\ufffd" * 40


@pytest.mark.parametrize("text", ["def f():\n    return 'naïve 😀'\n\n\n# end", " leading", "a" * 300, "\n\n  x\n"])
def test_streamed_text_is_the_text(pair, text):
    _, tokenizer = pair
    characters = Characters(tokenizer.decode)
    ids = tokenizer.encode(text, continues=True)
    assert "".join(characters.feed([index]) for index in ids) + characters.flush() == text


def test_the_stream_is_what_generate_gives(pair):
    model, tokenizer = pair
    ids = tokenizer.encode("Write a function")
    expected = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=24, pad_token_id=tokenizer.pad_id)
    pieces = list(generation.stream(model, tokenizer, ids, GREEDY))
    generated = expected[0, len(ids) :].tolist()
    assert "".join(piece.text for piece in pieces) == tokenizer.decode(generated)
    ended = generated[-1] in tokenizer.end_ids
    assert pieces[-1].finish == ("end" if ended else "length") and pieces[-1].tokens == len(generated) - ended


def test_beams_give_the_whole_answer_at_the_end(pair):
    model, tokenizer = pair
    ids = tokenizer.encode("Write a function")
    sampling = Sampling(temperature=0, num_beams=3, max_new_tokens=8)
    expected = model.generate(
        torch.tensor([ids]), do_sample=False, num_beams=3, max_new_tokens=8, pad_token_id=tokenizer.pad_id
    )
    text = "".join(piece.text for piece in generation.stream(model, tokenizer, ids, sampling))
    assert text == tokenizer.decode(expected[0, len(ids) :].tolist())


def test_an_end_token_ends_and_is_not_shown(pair):
    model, tokenizer = pair
    ids = tokenizer.encode("Write a function")
    first = next(generation.new_ids(model, ids, GREEDY, tokenizer.end_ids, tokenizer.pad_id))[0]
    ends_at_once = tokenizers.Tokenizer(**{**vars(tokenizer), "end_ids": frozenset([first])})
    assert list(generation.stream(model, ends_at_once, ids, GREEDY)) == [generation.Piece("", 0, "end")]


def test_a_stop_word_ends_the_stream_before_it(pair):
    model, tokenizer = pair
    ids = tokenizer.encode("Write a function")
    whole = "".join(piece.text for piece in generation.stream(model, tokenizer, ids, GREEDY))
    stop = whole[5:8]
    pieces = list(generation.stream(model, tokenizer, ids, GREEDY, [stop]))
    assert "".join(piece.text for piece in pieces) == whole[: whole.index(stop)]
    assert pieces[-1].finish == "stop" and pieces[-1].tokens < 24


def test_a_seed_gives_the_same_answer_again_and_another_seed_another(pair):
    model, tokenizer = pair
    ids = tokenizer.encode("Write a function")

    def answer(seed):
        sampling = Sampling(temperature=1.5, top_p=1.0, top_k=0, max_new_tokens=16, seed=seed)
        return "".join(piece.text for piece in generation.stream(model, tokenizer, ids, sampling))

    assert answer(0) == answer(0) != answer(1)


def test_closing_the_stream_stops_the_computation(pair):
    model, tokenizer = pair
    before = threading.active_count()
    stream = generation.stream(model, tokenizer, tokenizer.encode("Write"), Sampling(temperature=0, max_new_tokens=900))
    next(stream)
    assert threading.active_count() == before + 1
    stream.close()
    assert threading.active_count() == before


def test_a_prompt_that_fills_the_model_is_one_sentence(pair):
    model, tokenizer = pair
    with pytest.raises(UserError, match="positions; shorten it"):
        list(generation.stream(model, tokenizer, [20] * 3000, GREEDY))


def test_an_answer_is_no_longer_than_the_positions_left(pair):
    model, tokenizer = pair
    positions = model.config.max_position_embeddings
    pieces = list(generation.stream(model, tokenizer, [20] * (positions - 3), GREEDY))
    assert pieces[-1].tokens <= 3


@pytest.mark.parametrize(
    "wrong", [{"temperature": -1}, {"top_p": 0}, {"top_p": 1.5}, {"top_k": -1}, {"num_beams": 0}, {"max_new_tokens": 0}]
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UserError):
        Sampling(**wrong).check()


def test_a_failure_in_the_thread_reaches_the_reader(pair):
    """It stood outside the thread's try once, and the reader waited for ever."""
    model, tokenizer = pair
    with pytest.raises(UserError, match="seed"):
        list(generation.stream(model, tokenizer, [20], Sampling(seed=10**30)))
    with pytest.raises((TypeError, ValueError)):
        list(generation.new_ids(model, ["no id"], GREEDY, tokenizer.end_ids, tokenizer.pad_id))


def test_beams_can_be_closed_while_they_search(pair):
    model, tokenizer = pair
    before = threading.active_count()
    sampling = Sampling(temperature=0, num_beams=4, max_new_tokens=900)
    stream = generation.stream(model, tokenizer, tokenizer.encode("Write"), sampling, heartbeat=0.05)
    assert next(stream) == generation.Piece("", 0)
    stream.close()
    assert threading.active_count() == before
