"""The GGUF: read back by gguf's own reader, and run by llama.cpp, which must say what transformers says."""

import json
import math
import shutil

import gguf
import numpy as np
import pytest
import torch
import transformers

from codetune.cli import UserError
from codetune.export import gguf as ours
from codetune.export import merge, tensors, verify, vocabulary
from codetune.sequences import prompts
from codetune.serving.llama_cpp import LlamaCpp
from codetune.text import tokenizers
from codetune.training import models, tiny

BYTE_LEVEL = {"type": "ByteLevel"}
PROMPT = "Below is an instruction. Write a Python function that adds two numbers."


def peaked(base, folder, scale=4.0):
    """A copy of a tiny model whose head is louder: random weights are so flat that greedy choices are ties."""
    shutil.copytree(base, folder)
    model = models.load(base, on="cpu")
    with torch.no_grad():
        model.get_output_embeddings().weight *= scale
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=tiny.NAMES)
def base(request, tmp_path_factory):
    return peaked(tiny.folder(request.param), tmp_path_factory.mktemp("base") / request.param)


def written(base, folder, quantization, template=None):
    path = folder / f"model-{quantization}.gguf"
    ours.write(path, merge.Merged(base), base, tokenizers.load(base), template, quantization, "test")
    return path


def fields(path):
    return {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items()}


@pytest.mark.parametrize("quantization, least", [("f32", 32), ("f16", 24), ("q8_0", 4)])
def test_llama_cpp_goes_on_as_transformers_does(base, tmp_path, quantization, least):
    path, tokenizer = written(base, tmp_path, quantization), tokenizers.load(base)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    ids = tokenizer.encode(PROMPT)
    expected = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=32, eos_token_id=-1, pad_token_id=0)
    with LlamaCpp(path, exact=True) as server:
        found = server.post(
            "/completion",
            prompt=ids,
            n_predict=32,
            temperature=0,
            return_tokens=True,
            ignore_eos=True,
            cache_prompt=False,
        )["tokens"]
    assert found[:least] == expected[0, len(ids) :].tolist()[:least]


@pytest.mark.parametrize("quantization, bound", [("f32", 1e-3), ("f16", 5e-3), ("q8_0", 0.1)])
def test_the_log_probabilities_of_the_next_token_agree(base, tmp_path, quantization, bound):
    path, tokenizer = written(base, tmp_path, quantization), tokenizers.load(base)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    ids = tokenizer.encode(PROMPT)
    with torch.no_grad():
        expected = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1].double(), -1)
    with LlamaCpp(path, exact=True) as server:
        likeliest = server.complete(ids, 1, probabilities=50)["completion_probabilities"][0]["top_logprobs"]
    assert len(likeliest) == 50
    assert max(abs(token["logprob"] - expected[token["id"]].item()) for token in likeliest) < bound


def test_fifty_real_texts_have_transformers_tokens_in_llama_cpp(base, tmp_path, real_rows):
    path, tokenizer = written(base, tmp_path, "q8_0"), tokenizers.load(base)
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(base / "tokenizer.json"))
    texts = [row["output"] for row in real_rows if row["output"].strip()][:50]
    assert len(texts) == 50
    with LlamaCpp(path) as server:
        for text in texts:
            assert server.tokenize(text) == tokenizer.encode(text) == theirs.encode(text, add_special_tokens=False)


def test_gguf_s_own_reader_finds_every_tensor_within_half_a_step(base, tmp_path):
    path, merged = written(base, tmp_path, "q8_0"), merge.Merged(base)
    config = models.read_config(base)
    read = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    plan = ours.planned(merged, config, tensors.name_map(config), "q8_0")
    assert len(read) == len(plan) > 25
    for base_name, name, _, kind in plan:
        original = tensors.arranged(base_name, merged.exact(base_name).numpy(), config)
        found = gguf.quants.dequantize(read[name].data, kind).reshape(original.shape)
        if kind == gguf.GGMLQuantizationType.Q8_0:
            blocks = np.abs(original.reshape(-1, 32)).max(axis=1, keepdims=True)
            step = np.broadcast_to(blocks / 127, (blocks.size, 32)).reshape(original.shape)
            # half a step of rounding, and the scale itself is kept in 16 bits: half a step of that is 127 * 2**-11
            assert (np.abs(found - original) <= (0.5 + 127 * 2**-11) * step + 1e-9).all(), name
        else:
            assert np.array_equal(found, original), name


def test_the_chat_template_renders_the_training_prompt(base, tmp_path):
    template = prompts.load("alpaca")
    instruction = 'Say "hi" in {braces} and \\n\nover two lines: naïve 😀'
    with LlamaCpp(written(base, tmp_path, "f16", template)) as server:
        rendered = server.post("/apply-template", messages=[{"role": "user", "content": instruction}])["prompt"]
    assert rendered == template.prompt(instruction)


def test_special_tokens_are_named(tmp_path):
    llama = fields(written(tiny.folder("tiny-llama"), tmp_path, "f16"))
    assert llama["tokenizer.ggml.model"] == "llama" and llama["tokenizer.ggml.add_bos_token"] is True
    assert (llama["tokenizer.ggml.bos_token_id"], llama["tokenizer.ggml.eos_token_id"]) == (1, 2)
    assert llama["tokenizer.ggml.token_type"][:4] == [2, 3, 3, 6]  # <unk>, <s>, </s>, <0x00>
    starcoder = fields(written(tiny.folder("tiny-starcoder"), tmp_path, "f16"))
    assert starcoder["tokenizer.ggml.pre"] == "starcoder" and starcoder["tokenizer.ggml.add_bos_token"] is False
    roles = ("pre", "mid", "suf", "pad", "rep")
    assert [starcoder[f"tokenizer.ggml.fim_{role}_token_id"] for role in roles] == [1, 2, 3, 4, 18]


def test_infill_works_in_llama_cpp_on_starcoder(tmp_path):
    with LlamaCpp(written(tiny.folder("tiny-starcoder"), tmp_path, "f16")) as server:
        answer = server.post("/infill", input_prefix="def add(a, b):\n", input_suffix="\n", n_predict=4)
    assert answer["tokens_predicted"] == 4


@pytest.mark.parametrize("name", ["llama2", "llama2-fast", "starcoder", "starcoder2", "deepseek-coder"])
def test_real_tokenizers_have_their_tokens_in_llama_cpp(name, data, real_rows, tmp_path):
    """A very small Llama around each real vocabulary; the texts are code of many languages."""
    folder = tmp_path / "model"
    shutil.copytree(data / "tokenizers" / name, folder)
    tokenizer = tokenizers.load(folder)
    config = transformers.LlamaConfig(
        vocab_size=tokenizer.size + 5,  # padded, as resized embeddings are
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=tokenizer.bos_id,
        eos_token_id=tokenizer.eos_id,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    texts = [row["output"] for row in real_rows if row["output"].strip()] + list(tokenizers.PROBES)
    with LlamaCpp(written(folder, tmp_path, "q8_0")) as server:
        verify.check_tokens(server, tokenizer, texts)


def test_multi_head_starcoder_is_reordered(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny.folder("tiny-starcoder"), folder)
    torch.manual_seed(0)
    config = transformers.GPTBigCodeConfig(
        vocab_size=2048,
        n_positions=256,
        n_embd=64,
        n_layer=2,
        n_head=4,
        multi_query=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    transformers.GPTBigCodeForCausalLM(config).save_pretrained(folder)
    test_the_log_probabilities_of_the_next_token_agree(folder, tmp_path, "f32", 1e-3)


def test_heads_are_interleaved_as_pairs():
    rows = np.arange(8)[:, None]  # two heads of four rows: halves (0 1 | 2 3)
    assert tensors.interleaved(rows, 2).ravel().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_queries_keys_and_values_are_gathered_by_role():
    rows = np.arange(12)[:, None]  # two heads, each q q k k v v
    assert tensors.by_role(rows, 2).ravel().tolist() == [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]


@pytest.mark.parametrize(
    "pre_tokenizer, expected",
    [
        ({"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}, "gpt-2"),
        (
            {
                "type": "Sequence",
                "pretokenizers": [{"type": "Digits", "individual_digits": True}, {"type": "ByteLevel"}],
            },
            "starcoder",
        ),
        ({"type": "Whitespace"}, None),
        (
            {
                "type": "Sequence",
                "pretokenizers": [{"type": "Digits", "individual_digits": False}, {"type": "ByteLevel"}],
            },
            None,
        ),
        (None, None),
    ],
)
def test_the_pre_tokenizer_is_named_by_what_it_does(pre_tokenizer, expected):
    spec = {"normalizer": None, "pre_tokenizer": pre_tokenizer}
    if expected:
        assert vocabulary.pre_tokenizer(spec, "here") == expected
    else:
        with pytest.raises(UserError, match="no llama.cpp pre-tokenizer is known to be equal"):
            vocabulary.pre_tokenizer(spec, "here")


def test_a_rope_scaling_that_is_not_written_is_refused(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny.folder("tiny-llama"), folder)
    config = json.loads((folder / "config.json").read_text())
    config["rope_scaling"] = {"rope_type": "yarn", "factor": 4.0}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="'yarn' is not exported"):
        written(folder, tmp_path, "f16")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]  # nothing half-written


def test_sizes_are_counted_in_blocks():
    assert ours.size_of((2, 64), gguf.GGMLQuantizationType.Q8_0) == 2 * 2 * 34
    assert ours.size_of((3,), gguf.GGMLQuantizationType.F32) == 12
    assert math.prod((2, 64)) * 2 == ours.size_of((2, 64), gguf.GGMLQuantizationType.F16)


def test_two_columns():
    assert verify.side_by_side("ab\nc", "d", ("x", "y"), width=2) == "  x  | y\n  -  | -\n  ab | d\n  c  |"
