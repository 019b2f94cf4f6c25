"""Rows of instructions in, the useful ones out, each of the others with its reason."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from codetune import cli, files


def preprocess(
    input: list[str],
    output: str,
    rules: Literal["strict", "codeup"] = "strict",
    languages: list[str] = ("all",),
    default_language: str = "Python",
    subset: str | None = None,
    split: str = "train",
):
    """Keep the instruction rows that teach a programming language, drop the others with their reasons.

    Leaves four files: OUTPUT (a JSON list of instruction, input, output), and beside it .dropped.jsonl (each dropped
    row with its reason, source file and index), .counts.json (rows per language before and after, reasons) and .png
    (the same as a radar chart). Rows keep the input's order (codeup: rows that name a language first, as published).

    Example:
        python data/preprocess.py --input data/sample.json --output out/rows.json

    Args:
        input: files of rows (.json, .jsonl, .parquet), folders of them, or names of hub datasets; several by commas.
        output: where the kept rows go, a .json file.
        rules: strict finds languages by words, synonyms, parsers and guesslang, and drops empty outputs, refusals and
            exact duplicates; codeup repeats CodeUp's published rules exactly.
        languages: keep only these, as in Python,Java; all keeps every language.
        default_language: a row that names no language is kept where its code is in this one; any: in whichever
            language is plainly seen.
        subset: which configuration of a hub dataset.
        split: which split of a hub dataset.
    """
    from codetune.instructions import filters, records, survey
    from codetune.text import languages as known

    if Path(output).suffix != ".json":
        raise cli.UserError(f"--output={output} must end in .json")
    files.check_output_file(output, "output")
    beside = Path(output).with_suffix("")
    outputs = [Path(f"{beside}{suffix}") for suffix in (".json", ".dropped.jsonl", ".counts.json", ".png")]
    check_apart(input, outputs)
    if not languages or not input:
        raise cli.UserError(f"--{'input' if languages else 'languages'} is empty; name at least one")
    keep = None if languages in (["all"], ("all",)) else languages_of(rules, languages)
    default = None if default_language.lower() == "any" else known.canonical(default_language)
    if rules == "codeup" and default != "Python":
        raise cli.UserError(
            f"--default_language={default_language} goes with --rules strict; CodeUp's rules know Python only"
        )
    judge: Callable = getattr(filters, rules)
    rows = records.read(input, split, subset)
    kept, named, verdicts = judge(rows, keep=keep, default=default, progress=progress)
    counts = filters.counts(named, verdicts, filters.CODEUP_TABLE if rules == "codeup" else ())
    dropped = [(record, verdict.reason) for record, verdict in zip(rows, verdicts, strict=True) if verdict.reason]
    survey.radar(counts, f"{beside}.png")
    files.write_json(f"{beside}.counts.json", counts)
    records.write_dropped(f"{beside}.dropped.jsonl", dropped)
    records.write(output, kept)
    report(output, rows, kept, counts)


def check_apart(inputs, outputs):
    """Raises UserError where writing a result would destroy what it is made from, or a folder stands in its place."""
    for path in outputs:
        if path.is_dir():
            raise cli.UserError(f"--output: {path} is a folder where a file must go; choose another name")
        if any(Path(name).exists() and path.exists() and path.samefile(name) for name in inputs):
            raise cli.UserError(f"--output: {path} is also an input and would be overwritten; choose another name")


def languages_of(rules, names):
    """The names that --languages gives, as the rules' tables spell them."""
    from codetune.instructions import filters
    from codetune.text import languages as known

    if rules == "strict":
        return {known.canonical(name) for name in names}
    spelt = {language.lower(): language for language in filters.CODEUP_TABLE}
    unknown = [name for name in names if name.lower() not in spelt]
    if unknown:
        raise cli.UserError(f"CodeUp's rules know no language {unknown[0]!r}; they know {', '.join(spelt.values())}")
    return {spelt[name.lower()] for name in names}


def progress(rows):
    from tqdm import tqdm

    return tqdm(rows, desc="rows", unit=" rows", smoothing=0, mininterval=0.5, file=sys.stderr)


def report(output, rows, kept, counts):
    print(f"{len(rows):,} rows read, {len(kept):,} kept, {len(rows) - len(kept):,} dropped")
    for reason, number in counts["reasons"].items():
        print(f"  {number:>7,}  {reason}")
    print(f"{output}, and beside it .dropped.jsonl, .counts.json, .png")


if __name__ == "__main__":
    cli.run(preprocess)
