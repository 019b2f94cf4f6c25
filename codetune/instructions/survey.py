"""What a set of rows holds: the radar chart of languages before and after filtering."""

import math

from codetune import files
from codetune.instructions.filters import OTHERS

BEFORE, AFTER = "#b8860b", "#1f6feb"
MOST_AXES = 24  # more labels than these run into each other


def radar(counts, path):
    """Draws counts["raw data"] and counts["clean data"] per language into a PNG, on a logarithmic scale.

    Languages differ by three orders of magnitude: on a linear radius all but two of them would be the centre point.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    languages = axes_of(counts)
    angles = [2 * math.pi * index / max(1, len(languages)) for index in range(len(languages))]
    top = max([10, *(counts[table].get(language, 0) for table in ("raw data", "clean data") for language in languages)])
    figure = Figure(figsize=(9, 9), dpi=110)
    figure.subplots_adjust(top=0.8, bottom=0.08)
    axes = figure.add_subplot(projection="polar")
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    for table, name, colour in (("raw data", "named (before)", BEFORE), ("clean data", "kept (after)", AFTER)):
        radii = [math.log10(1 + counts[table].get(language, 0)) for language in languages]
        axes.plot(angles + angles[:1], radii + radii[:1], color=colour, linewidth=1.8, label=name)
        axes.fill(angles, radii, color=colour, alpha=0.12)
    labels = [f"{language}\n{counts['clean data'].get(language, 0):,}" for language in languages]
    axes.set_xticks(angles, labels, fontsize=9)
    decades = range(1, math.ceil(math.log10(top)) + 1)
    axes.set_yticks(list(decades), [f"{10**decade:,}" for decade in decades], fontsize=8, color="#555555")
    axes.set_rlabel_position(540 / max(1, len(languages)))  # degrees: halfway between two axes
    axes.set_ylim(0, math.log10(1 + top) * 1.02)
    axes.tick_params(axis="x", pad=14)
    total, kept = sum(counts["raw data"].values()), sum(counts["clean data"].values()) - counts["clean data"][OTHERS]
    axes.set_title(f"{kept:,} of {total:,} rows kept: rows per language, logarithmic", pad=44)
    axes.legend(loc="upper right", bbox_to_anchor=(1.12, 1.18), frameon=False)
    with files.whole_file(path, "wb") as file:
        FigureCanvasAgg(figure).print_png(file)


def axes_of(counts):
    """The languages that occur, the commonest first, the rarest left out where there are too many."""
    occurring = {
        language: counts["raw data"].get(language, 0) + kept
        for language, kept in counts["clean data"].items()
        if language != OTHERS and counts["raw data"].get(language, 0) + kept
    }
    return sorted(occurring, key=occurring.get, reverse=True)[:MOST_AXES]
