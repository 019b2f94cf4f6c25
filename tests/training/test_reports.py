import json

from codetune.training import reports

HISTORY = [
    {"eval_loss": 5.0, "step": 0},
    {"loss": 4.0, "learning_rate": 0.1, "grad_norm": 1.0, "epoch": 0.5, "step": 1},
    {"loss": 2.0, "learning_rate": 0.05, "grad_norm": 1.0, "epoch": 1.0, "step": 2},
    {"eval_loss": 3.0, "step": 2},
    {"train_runtime": 1.0, "train_loss": 3.0, "step": 2},
]


def test_smoothing_starts_without_a_bias():
    first, second = reports.smoothed([4.0, 2.0], share=0.5)
    assert first == 4.0 and abs(second - 8 / 3) < 1e-12


def test_results_name_the_last_loss_and_both_held_out_ones():
    assert reports.results(HISTORY) == {"steps": 2, "loss": 2.0, "eval_loss": 3.0, "eval_loss_before": 5.0}


def test_the_log_has_a_line_for_every_step_and_evaluation(tmp_path):
    reports.write_log(tmp_path, HISTORY)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line.get("loss", line.get("eval_loss")) for line in lines] == [5.0, 4.0, 2.0, 3.0]
    assert reports.read_log(tmp_path) == lines


def test_curves_are_a_png(tmp_path):
    reports.draw_curves(tmp_path, HISTORY)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
