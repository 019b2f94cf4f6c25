"""Which instruction rows to keep, and why the others go.

Two sets of rules. `codeup` repeats the published ones exactly, to reproduce the published data. `strict`, the default,
repairs what they got wrong: words instead of substrings, several languages, a parser's word, refusals, duplicates.
"""

import re
from collections import Counter
from typing import NamedTuple

from codetune.instructions.records import FIELDS, has_broken_unicode
from codetune.text import guesslang, languages

OTHERS = "Others"  # the published tables' name for rows that belong to no language

# CodeUp data/preprocess.py at 08f95f3: case-sensitive substrings of the instruction, the first hit wins.
CODEUP_NEEDLES = {
    "JavaScript": "JavaScript", "Java": "Java", "shell": "shell", "Python": "Python", "C++": "C++/C", "C#": "C#",
    " C ": "C++/C", "Bash": "shell", "bash": "shell", "HTML": "HTML", "SQL": "SQL", "JSON": "JSON", "CSS": "CSS",
    "JSX": "JSX", "Swift": "Swift", "Ruby": "Ruby", "PHP": "PHP", "Go": "Go", "Kotlin": "Kotlin", " R ": "R",
    "MATLAB": "MATLAB", "TypeScript": "TypeScript", "Scala": "Scala", "Haskell": "Haskell", "Perl": "Perl",
    "Rust": "Rust",
}  # fmt: skip
CODEUP_TABLE = (
    "JavaScript",
    "Java",
    "shell",
    "Python",
    "C++/C",
    "C#",
    *list(dict.fromkeys(CODEUP_NEEDLES.values()))[6:],
)

REFUSAL = re.compile(
    r"\s*(?:(?:i['’]?m |i am )?(?:very |really |so )?sorry\b(?!\s*[=.(\[])"
    r"|as an? (?:ai|artificial intelligence|large language)\b"
    r"|(?:unfortunately,? )?(?:i|we) (?:am|['’]m|are)? ?(?:cannot|can['’]?t|can not|unable to|not able to|won['’]?t)\b"
    r"|unfortunately,? (?:as an ai|this|it) (?:is|isn['’]t|cannot)|i apologi[sz]e\b|my apologies\b"
    r"|<?no ?output>?\s*$|n/?a\.?\s*$|this (?:task|instruction|question) (?:cannot|is not possible)\b)",
    re.IGNORECASE,
)


# What a model wrote that did not stop: the next exchange, invented.
PROMPT_MARKERS = re.compile(r"^### (?:Instruction|Input|Response):|<\|im_(?:start|end)\|>|\[/?INST\]", re.MULTILINE)


PLAIN = 0.7  # a probability from which the code outweighs a format's name


class Verdict(NamedTuple):
    language: str | None  # what the row counts as
    reason: str | None  # why it is dropped; None keeps it


def codeup(records, keep=None, default="Python", progress=iter):
    """The published rules -> (kept rows: the named ones first, then the Python ones; named, final verdicts).

    `named` is what step 1 alone says of each record, the table "raw data".
    """
    named = [codeup_named(record.row["instruction"]) for record in progress(records)]
    # The published set has no row of broken Unicode, and no file could hold it.
    broken = [has_broken_unicode(record.row) for record in records]
    unnamed = [index for index, language in enumerate(named) if language is None and not broken[index]]
    python = dict(zip(unnamed, codeup_python([records[index].row for index in unnamed]), strict=True))
    verdicts = [codeup_verdict(*row, python.get(index)) for index, row in enumerate(zip(named, broken, strict=True))]
    verdicts = [outside(verdict, keep) for verdict in verdicts]
    first = [i for i, verdict in enumerate(verdicts) if not verdict.reason and named[i]]
    second = [i for i, verdict in enumerate(verdicts) if not verdict.reason and not named[i]]
    return [records[index].row for index in first + second], named, verdicts


def codeup_named(instruction):
    """ "Write Javascript" -> "Java": the first needle wins, as published"""
    return next((language for needle, language in CODEUP_NEEDLES.items() if needle in instruction), None)


def codeup_python(rows):
    """[bool]: guesslang sees Python in the input or the output, or the output holds `def ` or `import `."""
    guesses = guesslang.names([row[field] for row in rows for field in ("input", "output")])
    seen = [
        guess_in == "Python" or guess_out == "Python"
        for guess_in, guess_out in zip(guesses[::2], guesses[1::2], strict=True)
    ]
    marked = ["def " in row["output"] or "import " in row["output"] for row in rows]
    return [one or other for one, other in zip(seen, marked, strict=True)]


def codeup_verdict(language, broken, is_python):
    if broken:
        return Verdict(None, "broken Unicode")
    if language or is_python:
        return Verdict(language or "Python", None)
    return Verdict(None, "no language named, not seen as Python")


def strict(records, keep=None, default="Python", progress=iter):
    """Our rules -> (kept rows in the input's order; languages by name alone; final verdicts).

    keep: the languages wanted, None for all. default: what a row that names no language must be answered in
    (None: any language that is plainly seen).
    """
    faults = [fault(record.row) for record in progress(records)]
    named = [
        () if bad else tuple(languages.named(record.row["instruction"]))
        for record, bad in zip(records, faults, strict=True)
    ]
    looked_at = [index for index, bad in enumerate(faults) if not bad and needs_a_look(named[index])]
    inputs = languages.seen([records[index].row["input"] for index in looked_at])
    outputs = languages.seen([records[index].row["output"] for index in looked_at])
    seen = dict(zip(looked_at, zip(inputs, outputs, strict=True), strict=True))
    verdicts, known = [], set()
    for index, record in enumerate(records):
        verdict = (
            Verdict(None, faults[index]) if faults[index] else strict_verdict(named[index], seen.get(index), default)
        )
        verdict = outside(verdict, keep)
        content = tuple(record.row[field].strip() for field in FIELDS)
        if not verdict.reason and content in known:
            verdict = Verdict(verdict.language, "exact duplicate")
        known.add(content)
        verdicts.append(verdict)
    kept = [{f: r.row[f] for f in FIELDS} for r, verdict in zip(records, verdicts, strict=True) if not verdict.reason]
    return kept, [names[0] if names else None for names in named], verdicts


def needs_a_look(names):
    """Whether the code must say which language: none is named, several, or a format that programs write too."""
    return len(names) != 1 or names[0] in languages.FORMATS


def fault(row):
    """Why a row is of no use in any language, or None."""
    if has_broken_unicode(row):
        return "broken Unicode"
    if not row["instruction"].strip():
        return "empty instruction"
    if not row["output"].strip():
        return "empty output"
    if PROMPT_MARKERS.search(row["output"]):
        return "prompt markers in the output"
    return "refusal" if REFUSAL.match(row["output"]) else None


def strict_verdict(names, seen, default):
    """names: what the instruction names; seen: (language, probability) of input and of output, where it took a look.

    (("Python", "Java"), output seen as Java) -> Java;  ((), output seen as Python) -> Python
    """
    if len(names) == 1 and names[0] not in languages.FORMATS:
        return Verdict(names[0], None)
    (input_language, input_probability), (output_language, output_probability) = seen
    if names:
        # "Parse this JSON" may be answered in JSON or by a program; a program counts as its language.
        program = output_probability >= PLAIN and output_language not in languages.FORMATS
        return Verdict(output_language if output_language in names or program else names[0], None)
    # Code to mend or explain says the language as plainly as a word does.
    if input_language and input_probability >= languages.SURE and input_language in (output_language, default):
        return Verdict(input_language, None)
    if output_probability < languages.SURE:
        return Verdict(None, "no language named, none recognised")
    if default in (None, output_language):
        return Verdict(output_language, None)
    return Verdict(output_language, f"no language named, answered in {output_language}")


def outside(verdict, keep):
    """A kept row in a language that was not asked for is dropped."""
    if verdict.reason or keep is None or verdict.language in keep:
        return verdict
    return Verdict(verdict.language, f"{verdict.language} is not among --languages")


def counts(named, verdicts, table=()):
    """CodeUp's two tables and the reasons: {"raw data": {...}, "clean data": {...}, "reasons": {...}}

    raw data: languages by name alone; clean data: what is kept. Each ends with Others, and sums to all rows.
    """
    raw, kept = Counter(named), Counter(verdict.language for verdict in verdicts if not verdict.reason)
    reasons = Counter(verdict.reason for verdict in verdicts if verdict.reason)
    order = table or sorted({*raw, *kept} - {None}, key=lambda language: (-kept[language], language))
    others = {"raw data": raw[None], "clean data": reasons.total()}
    tables = {"raw data": raw, "clean data": kept}
    filled = {name: {**{x: tables[name][x] for x in order}, OTHERS: others[name]} for name in tables}
    return {**filled, "reasons": dict(reasons.most_common())}
