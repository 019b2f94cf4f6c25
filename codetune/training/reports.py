"""What a run leaves for people: a progress line, log.jsonl, curves.png."""

import json
import sys
from pathlib import Path

from codetune import files

KEPT = ("step", "epoch", "loss", "eval_loss", "learning_rate", "grad_norm")


def entries(history):
    """Trainer's log history -> one dict a line of log.jsonl, its summary at the end left out."""
    picked = [{key: entry[key] for key in KEPT if key in entry} for entry in history]
    return [entry for entry in picked if "loss" in entry or "eval_loss" in entry]


def write_log(folder, history):
    with files.whole_file(Path(folder) / "log.jsonl") as file:
        file.writelines(json.dumps(entry, allow_nan=False) + "\n" for entry in entries(history))


def results(history):
    """{"steps": ..., "loss": mean of the last tenth of the steps, "eval_loss": ..., "eval_loss_before": ...}"""
    losses = [entry["loss"] for entry in entries(history) if "loss" in entry]
    held_out = [entry["eval_loss"] for entry in entries(history) if "eval_loss" in entry]
    last = losses[-max(1, len(losses) // 10) :]
    found = {"steps": len(losses), "loss": sum(last) / len(last)}
    return found | ({"eval_loss": held_out[-1], "eval_loss_before": held_out[0]} if held_out else {})


def read_log(folder):
    return [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]


def smoothed(values, share=0.9):
    """An exponential mean that starts unbiased: [4, 2] -> [4.0, 2.947...]"""
    total = weight = 0.0
    means = []
    for value in values:
        total, weight = share * total + (1 - share) * value, share * weight + (1 - share)
        means.append(total / weight)
    return means


def draw_curves(folder, history):
    """curves.png: training loss, smoothed and raw, held-out loss, and the learning rate below."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    log = entries(history)
    trained = [(entry["step"], entry["loss"], entry.get("learning_rate", 0)) for entry in log if "loss" in entry]
    held_out = [(entry["step"], entry["eval_loss"]) for entry in log if "eval_loss" in entry]
    figure = Figure(figsize=(9, 6), dpi=110, layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    if trained:
        steps, losses, rates = zip(*trained, strict=True)
        top.plot(steps, losses, color="#1f6feb", alpha=0.3, linewidth=1)
        top.plot(steps, smoothed(losses), color="#1f6feb", label="training loss (smoothed)")
        bottom.plot(steps, rates, color="#666666")
    if held_out:
        steps, losses = zip(*held_out, strict=True)
        top.plot(steps, losses, "o-", color="#b8860b", label="held-out loss")
    top.set_ylabel("loss (nats per token)")
    bottom.set_ylabel("learning rate")
    bottom.set_xlabel("optimiser step")
    bottom.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (top, bottom):
        axes.grid(alpha=0.25)
    if trained or held_out:
        top.legend(frameon=False)
    with files.whole_file(Path(folder) / "curves.png", "wb") as file:
        FigureCanvasAgg(figure).print_png(file)


def progress_bar(total, done=0):
    from tqdm import tqdm

    return tqdm(total=total, initial=done, desc="training", unit=" steps", file=sys.stderr, dynamic_ncols=True)
