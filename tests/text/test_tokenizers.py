"""A tokenizer gives the ids that its own files give, and knows what pads, begins and ends."""

import json
import shutil

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from codetune.cli import UserError
from codetune.text import pieces, tokenizers

SPECIALS_IN_TEXT = "a <s> b </s> c <unk> <|endoftext|> <fim_prefix> <｜end▁of▁sentence｜> <|EOT|> [INST]"
BYTE_LEVEL = ("starcoder", "starcoder2", "deepseek-coder")


@pytest.fixture(scope="module")
def texts(real_rows):
    """Instructions, inputs and outputs of real rows, and what has gone wrong elsewhere."""
    odd = [*tokenizers.PROBES, SPECIALS_IN_TEXT, "", " ", "\r\n\r\n", "a\0b", "\t\t\tx", "    x", "é" * 50, "👩‍👩‍👧"]
    return [row[field] for row in real_rows for field in ("instruction", "input", "output")] + odd


@pytest.fixture(scope="module")
def llama_pieces(data):
    return sentencepiece.SentencePieceProcessor(model_file=str(data / "tokenizers" / "llama2" / "tokenizer.model"))


def copied(data, folder, *names):
    """Copies "llama2/tokenizer.model" and the like into one folder."""
    folder.mkdir(exist_ok=True)
    for name in names:
        shutil.copyfile(data / "tokenizers" / name, folder / name.partition("/")[2])
    return folder


def write_config(folder, name="tokenizer_config.json", **fields):
    (folder / name).write_text(json.dumps(fields))


def test_tokenizer_model_gives_sentencepiece_s_ids(load_tokenizer, llama_pieces, texts):
    assert load_tokenizer("llama2").encode_many(texts) == llama_pieces.encode(texts)


def test_tokenizer_model_and_its_converted_json_give_the_same_ids(load_tokenizer, texts):
    slow, fast = load_tokenizer("llama2"), load_tokenizer("llama2-fast")
    assert slow.encode_many(texts) == fast.encode_many(texts)
    assert slow.encode_many(texts, continues=True) == fast.encode_many(texts, continues=True)


@pytest.mark.parametrize("name", BYTE_LEVEL)
def test_tokenizer_json_gives_its_own_ids(data, load_tokenizer, texts, name):
    witness = Tokenizer.from_file(str(data / "tokenizers" / name / "tokenizer.json"))
    witness.encode_special_tokens = True
    expected = [encoding.ids for encoding in witness.encode_batch(texts, add_special_tokens=False)]
    assert load_tokenizer(name).encode_many(texts) == expected


def test_many_texts_have_the_ids_of_each_alone(real_tokenizer, texts):
    assert real_tokenizer.encode_many(texts) == [real_tokenizer.encode(text) for text in texts]
    later = [real_tokenizer.encode(text, continues=True) for text in texts]
    assert real_tokenizer.encode_many(texts, continues=True) == later


def test_text_that_continues_gets_no_space_in_front(load_tokenizer, llama_pieces):
    tokenizer = load_tokenizer("llama2")
    assert [tokenizer.token(index) for index in tokenizer.encode("print")] == ["▁print"]
    assert [tokenizer.token(index) for index in tokenizer.encode("print", continues=True)] == ["print"]
    # CodeLlama's own way to get there: a rare sign in front, its pieces taken off again
    sign = llama_pieces.encode("☺")
    assert tokenizer.encode("  x = 1", continues=True) == llama_pieces.encode("☺  x = 1")[len(sign) :]


@pytest.mark.parametrize("name", BYTE_LEVEL)
def test_byte_level_text_is_the_same_wherever_it_stands(load_tokenizer, texts, name):
    tokenizer = load_tokenizer(name)
    assert tokenizer.encode_many(texts, continues=True) == tokenizer.encode_many(texts)


def test_ids_of_a_text_that_continues_decode_to_it(real_tokenizer, texts):
    # SentencePiece writes a space as ▁, so a real ▁ comes back as a space.
    written = "▁" if real_tokenizer.folder.name.startswith("llama2") else " "
    for text in texts:
        if not set(text) & letters_added(real_tokenizer):
            assert real_tokenizer.decode(real_tokenizer.encode(text, continues=True)) == text.replace(written, " ")


def letters_added(tokenizer):
    """DeepSeek-Coder has õ, ü and eleven more as added tokens, which no byte stands behind."""
    return {added.content for added in tokenizer.first.get_added_tokens_decoder().values() if len(added.content) == 1}


# ByteLevel's decoder took the added token "ü" for the byte 0xFC: a "über" of DeepSeek-Coder's ended as "\ufffdber".
def test_letters_that_are_added_tokens_decode_to_themselves(load_tokenizer):
    tokenizer = load_tokenizer("deepseek-coder")
    assert len(letters_added(tokenizer)) == 13
    for text in [f"x = '{letter}ber' + {letter}" for letter in sorted(letters_added(tokenizer))]:
        assert tokenizer.decode(tokenizer.encode(text, continues=True)) == text


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=60))
def test_any_text_has_sentencepiece_s_ids_and_decodes_to_itself(load_tokenizer, llama_pieces, text):
    tokenizer = load_tokenizer("llama2")
    assert tokenizer.encode(text) == llama_pieces.encode(text)
    assert tokenizer.decode(tokenizer.encode(text, continues=True)) == text.replace("▁", " ")


# StarCoder's vocabulary has no token for the byte 0xF1, so nothing from U+40000 on can be written in it.
@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(max_codepoint=0x3FFFF, exclude_categories=["Cs"]), max_size=60))
def test_any_text_decodes_to_itself_with_byte_level_ids(load_tokenizer, text):
    tokenizer = load_tokenizer("starcoder")
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_special_strings_in_a_text_stay_text(real_tokenizer):
    specials = set(real_tokenizer.specials().values())
    assert specials
    for name in real_tokenizer.specials():
        assert not specials & set(real_tokenizer.encode(f"x {name} y"))
        assert not specials & set(real_tokenizer.encode(name, continues=True))


def test_special_tokens_decode_to_nothing(real_tokenizer):
    ids = [real_tokenizer.eos_id, *real_tokenizer.encode("a", continues=True), real_tokenizer.eos_id]
    assert real_tokenizer.decode(ids) == "a"


def test_the_pad_token_never_ends_a_text(real_tokenizer):
    assert real_tokenizer.pad_id not in real_tokenizer.end_ids
    assert real_tokenizer.eos_id in real_tokenizer.end_ids
    assert 0 <= real_tokenizer.pad_id < real_tokenizer.size


@pytest.mark.parametrize(
    "name, bos, eos, adds_bos, pad, ends, size",
    [
        ("llama2", "<s>", "</s>", True, "<unk>", {"</s>"}, 32_000),
        ("llama2-fast", "<s>", "</s>", True, "<unk>", {"</s>"}, 32_000),
        ("starcoder", "<|endoftext|>", "<|endoftext|>", False, "<fim_pad>", {"<|endoftext|>"}, 49_152),
        ("starcoder2", "<|endoftext|>", "<|endoftext|>", False, "<fim_pad>", {"<|endoftext|>"}, 49_152),
        # its tokenizer_config.json pads with the end token
        (
            "deepseek-coder", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", True, "<pad>",
            {"<｜end▁of▁sentence｜>", "<|EOT|>"}, 32_022,
        ),
    ],
)  # fmt: skip
def test_each_family_has_its_own_begin_end_and_pad(load_tokenizer, name, bos, eos, adds_bos, pad, ends, size):
    tokenizer = load_tokenizer(name)
    found = [tokenizer.token(index) for index in (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id)]
    assert found == [bos, eos, pad]
    assert {tokenizer.token(index) for index in tokenizer.end_ids} == ends
    assert (tokenizer.adds_bos, tokenizer.size) == (adds_bos, size)


def test_a_token_is_found_by_its_name_and_named_by_its_id(load_tokenizer):
    tokenizer = load_tokenizer("starcoder")
    assert tokenizer.id_of("<fim_middle>") == 2 and tokenizer.token(2) == "<fim_middle>"
    assert tokenizer.id_of("<no such token>") is None and tokenizer.token(49_152) is None


def test_two_files_that_agree_are_loaded(data, tmp_path, llama_pieces):
    folder = copied(data, tmp_path, "llama2/tokenizer.model", "llama2-fast/tokenizer.json")
    write_config(folder, eos_token="</s>", bos_token="<s>")
    assert tokenizers.load(folder).encode("x = 1") == llama_pieces.encode("x = 1")


def test_two_files_that_disagree_stop_with_one_sentence(data, tmp_path):
    folder = copied(
        data, tmp_path, "llama2/tokenizer.model", "starcoder/tokenizer.json", "starcoder/tokenizer_config.json"
    )
    with pytest.raises(UserError, match="gives other ids than the SentencePiece model beside it") as error:
        tokenizers.load(folder)
    assert str(error.value).startswith(f"{folder}/tokenizer.json: ") and "\n" not in str(error.value)


def test_a_json_that_lost_one_step_disagrees_with_its_model(data, tmp_path):
    """transformers 5 gives Llama's tokenizer other ids by rebuilding its steps: such a file must not pass."""
    folder = copied(data, tmp_path, "llama2/tokenizer.model", "llama2-fast/tokenizer.json")
    write_config(folder, eos_token="</s>")
    tree = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    tree["normalizer"]["normalizers"] = tree["normalizer"]["normalizers"][1:]  # without the space in front
    (folder / "tokenizer.json").write_text(json.dumps(tree), encoding="utf-8")
    with pytest.raises(UserError, match="gives other ids"):
        tokenizers.load(folder)


def test_tokens_added_beside_a_sentencepiece_model_have_their_ids(data, tmp_path, llama_pieces):
    folder = copied(data, tmp_path, "llama2/tokenizer.model")
    write_config(folder, bos_token="<s>", eos_token="</s>")
    write_config(folder, "added_tokens.json", **{"<MID>": 32_001, "<PRE>": 32_000})
    tokenizer = tokenizers.load(folder)
    assert [tokenizer.id_of(name) for name in ("<PRE>", "<MID>")] == [32_000, 32_001]
    assert tokenizer.encode("a <PRE> b") == llama_pieces.encode("a <PRE> b")


@pytest.mark.parametrize("where", ["added_tokens.json", "tokenizer_config.json"])
def test_an_added_token_that_would_get_another_id_stops(data, tmp_path, where):
    folder = copied(data, tmp_path, "llama2/tokenizer.model")
    write_config(folder, eos_token="</s>")
    if where == "added_tokens.json":
        write_config(folder, where, **{"<PRE>": 32_007})  # the model has 32,000 pieces: nothing gives ids to 32,006
    else:
        write_config(folder, eos_token="</s>", added_tokens_decoder={"32007": {"content": "<PRE>", "special": True}})
    with pytest.raises(UserError, match="'<PRE>' the id 32007"):
        tokenizers.load(folder)


def test_a_config_from_another_model_stops(data, tmp_path):
    folder = copied(data, tmp_path, "starcoder/tokenizer.json")
    write_config(folder, eos_token="<|endoftext|>", added_tokens_decoder={"5": {"content": "<fim_middle>"}})
    with pytest.raises(UserError, match="'<fim_middle>' the id 5"):
        tokenizers.load(folder)


def test_a_folder_without_tokenizer_files_says_which_to_bring(tmp_path):
    with pytest.raises(UserError, match=rf"^{tmp_path}: no tokenizer.json and no tokenizer.model; copy"):
        tokenizers.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": "1.0"}', b"\xff"])
def test_a_broken_tokenizer_json_is_one_sentence(tmp_path, content):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(UserError, match=r"tokenizer\.json: not readable as a tokenizer"):
        tokenizers.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no model", b"\xff" * 100])
def test_a_broken_tokenizer_model_is_one_sentence(tmp_path, content):
    (tmp_path / "tokenizer.model").write_bytes(content)
    write_config(tmp_path, eos_token="</s>")
    with pytest.raises(UserError, match=r"tokenizer\.model: ") as error:
        tokenizers.load(tmp_path)
    assert "\n" not in str(error.value)


def test_files_that_name_no_end_stop(data, tmp_path):
    folder = copied(data, tmp_path, "starcoder/tokenizer.json")
    tree = (folder / "tokenizer.json").read_text(encoding="utf-8").replace("<|endoftext|>", "<|nothing known|>")
    (folder / "tokenizer.json").write_text(tree, encoding="utf-8")
    with pytest.raises(UserError, match="no end token; name eos_token"):
        tokenizers.load(folder)


def test_an_end_that_is_not_in_the_vocabulary_stops(data, tmp_path):
    folder = copied(data, tmp_path, "starcoder/tokenizer.json")
    write_config(folder, eos_token="<|im_end|>")
    with pytest.raises(UserError, match=r"eos_token '<\|im_end\|>' is not in the tokenizer's vocabulary"):
        tokenizers.load(folder)


def test_a_token_is_named_by_special_tokens_map_json_too(data, tmp_path):
    folder = copied(data, tmp_path, "starcoder/tokenizer.json")
    write_config(folder, "special_tokens_map.json", eos_token={"content": "<empty_output>"})
    tokenizer = tokenizers.load(folder)
    assert tokenizer.token(tokenizer.eos_id) == "<empty_output>"
    assert {tokenizer.token(index) for index in tokenizer.end_ids} == {"<empty_output>", "<|endoftext|>"}


def test_generation_config_names_further_ends(data, tmp_path):
    folder = copied(data, tmp_path, "starcoder/tokenizer.json")
    write_config(folder, eos_token="<|endoftext|>")
    write_config(folder, "generation_config.json", eos_token_id=[0, 18])
    assert tokenizers.load(folder).end_ids == {0, 18}


def test_the_pad_that_the_files_name_is_taken_unless_it_ends_a_text(data, tmp_path):
    folder = copied(data, tmp_path, "starcoder/tokenizer.json")
    write_config(folder, eos_token="<|endoftext|>", pad_token="<reponame>")
    tokenizer = tokenizers.load(folder)
    assert tokenizer.token(tokenizer.pad_id) == "<reponame>"


def test_a_config_decides_whether_a_text_begins_with_bos(data, tmp_path):
    folder = copied(data, tmp_path, "llama2-fast/tokenizer.json")
    write_config(folder, bos_token="<s>", eos_token="</s>")
    assert tokenizers.load(folder).adds_bos  # tokenizer.json's own template puts <s> first
    write_config(folder, bos_token="<s>", eos_token="</s>", add_bos_token=False)
    assert not tokenizers.load(folder).adds_bos


def test_merges_are_ranked_by_the_score_of_what_they_make():
    from types import SimpleNamespace

    scores = {"a": -9, "b": -9, "c": -9, "ab": -1, "abc": -2, "bc": -3}
    some = [SimpleNamespace(piece=text, score=score, type=pieces.NORMAL) for text, score in scores.items()]
    assert pieces.merges_of(some) == [("a", "b"), ("a", "bc"), ("ab", "c"), ("b", "c")]
