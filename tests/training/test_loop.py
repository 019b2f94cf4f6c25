"""The optimiser step: which examples, how arranged, and that the arrangement changes nothing."""

import random

import pytest
import torch

from codetune.sequences.tokens import IGNORE, Example
from codetune.training import loop, loss, models, tiny


@pytest.fixture(scope="module", params=tiny.NAMES)
def model(request):
    return models.load(tiny.folder(request.param), on="cpu").train(False)


def examples(number, seed=0):
    """Random ids of many lengths; the first half of each is prompt."""
    rng = random.Random(seed)
    made = []
    for _ in range(number):
        ids = [rng.randrange(20, 2000) for _ in range(rng.randint(4, 60))]
        made.append(Example(ids, [IGNORE] * (len(ids) // 2) + ids[len(ids) // 2 :]))
    return made


def test_parts_are_even_and_keep_the_order():
    assert list(loop.even_parts([5, 4, 3, 2, 1], 2)) == [[5, 4, 3], [2, 1]]


def test_an_epoch_holds_every_example_once_in_steps_of_batch_size():
    batches = list(loop.StepBatches(list(range(22)), batch_size=8, micro_batch_size=3, seed=1))
    assert [len(batch) for batch in batches] == [3, 3, 2, 3, 3, 2, 3, 3]  # two steps of 8, one of 6
    assert sorted(index for batch in batches for index in batch) == list(range(22))


def test_the_length_that_trainer_counts_with_is_the_number_of_batches():
    for number in range(1, 40):
        batches = loop.StepBatches(list(range(number)), batch_size=7, micro_batch_size=3, seed=1)
        assert len(batches) == len(list(batches))


def test_a_step_is_sorted_by_length_so_that_micro_batches_are_alike():
    lengths = [3, 9, 1, 7, 5, 2, 8, 6]
    batches = list(loop.StepBatches(lengths, batch_size=8, micro_batch_size=2, seed=3))
    assert [[lengths[index] for index in batch] for batch in batches] == [[9, 8], [7, 6], [5, 3], [2, 1]]


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        batches = loop.StepBatches([1] * 50, 5, 5, seed)
        batches.set_epoch(epoch)
        return list(batches)

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)


def test_two_processes_share_a_step_out_and_leave_a_last_partial_one():
    batches = loop.StepBatches(list(range(20)), batch_size=8, micro_batch_size=2, seed=1, processes=2)
    assert batches.accumulation == 2
    assert [len(batch) for batch in batches] == [2] * 8 == [2] * len(batches)


def test_padding_is_masked_by_length_and_not_by_id():
    rows = loop.collate(pad_id=7)([Example([7, 7, 5], [IGNORE, 7, 5]), Example([9], [9])])
    assert rows["input_ids"].tolist() == [[7, 7, 5], [9, 7, 7]]
    assert rows["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert rows["labels"].tolist() == [[IGNORE, 7, 5], [9, IGNORE, IGNORE]]


def test_the_loss_is_that_of_transformers_on_a_single_row(model):
    ids = torch.tensor([examples(1)[0].ids])
    expected = model(input_ids=ids, labels=ids).loss
    assert loss.step_loss(model(input_ids=ids), ids).item() == pytest.approx(expected.item(), abs=1e-5)


def gradients(model, rows, micro_batch_size, pad_id=0):
    model.zero_grad()
    tokens = sum(label != IGNORE for row in rows for label in row.labels[1:])
    for at in range(0, len(rows), micro_batch_size):
        inputs = loop.collate(pad_id)(rows[at : at + micro_batch_size])
        labels = inputs.pop("labels")
        loss.step_loss(model(**inputs, use_cache=False), labels, tokens).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("micro_batch_size", [2, 5, 12])
def test_the_gradient_of_a_step_is_the_same_however_it_is_cut(model, micro_batch_size):
    rows = examples(12)
    one_by_one, cut = gradients(model, rows, 1), gradients(model, rows, micro_batch_size)
    largest = max(g.abs().max() for g in one_by_one.values())
    for name, gradient in one_by_one.items():
        assert (gradient - cut[name]).abs().max() < 1e-4 * largest, name


def without_dropout():
    """tiny-starcoder without the dropout that would make two runs differ."""
    model = models.load(tiny.folder("tiny-starcoder"), on="cpu")
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for block in model.transformer.h:
        block.attn.attn_dropout = 0.0
    return model


def fitted(tmp_path, rows, held_out, micro_batch_size, max_steps=2, learning_rate=1e-3):
    folder = tmp_path / f"micro-{micro_batch_size}"
    folder.mkdir()
    settings = loop.Settings(str(folder), 12, micro_batch_size, learning_rate, max_steps=max_steps, warmup_steps=0)
    return loop.fit(without_dropout(), 0, rows, held_out, settings)


def test_trainer_sees_the_same_loss_and_gradient_for_every_micro_batch_size(tmp_path):
    # The mean of the micro batches' means is another loss, and StarCoder takes no loss arguments in transformers.
    whole, cut = (fitted(tmp_path, examples(24), [], size) for size in (12, 5))
    for name in ("loss", "grad_norm"):
        expected = [entry[name] for entry in whole if name in entry]
        assert [entry[name] for entry in cut if name in entry] == pytest.approx(expected, rel=1e-4)


def test_the_held_out_loss_is_the_mean_over_all_tokens(tmp_path):
    held_out = examples(7, seed=5)
    history = fitted(tmp_path, examples(12), held_out, 3, max_steps=1, learning_rate=0.0)
    model = models.load(tiny.folder("tiny-starcoder"), on="cpu").eval()
    total = tokens = 0
    for row in held_out:
        labels = torch.tensor([row.labels])
        total += loss.token_loss(model(input_ids=torch.tensor([row.ids])).logits, labels).item()
        tokens += (labels[:, 1:] != IGNORE).sum().item()
    evaluations = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    assert evaluations == pytest.approx([total / tokens] * 2, abs=1e-5)  # before and after
