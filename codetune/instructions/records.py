"""Rows of instruction, input and output: read, checked, written. JSON, JSONL, Parquet, folders, hub datasets.

Data from outside is parsed, never evaluated; a row that is no row stops with its file and index.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from codetune import files
from codetune.cli import UserError

FIELDS = ("instruction", "input", "output")
SUFFIXES = (".json", ".jsonl", ".parquet")
# What preprocess.py leaves beside its rows is not data.
BESIDES = re.compile(r"\.(dropped\.jsonl|counts\.json)$|^dataset_infos?\.json$")
HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


class Record(NamedTuple):
    row: dict  # instruction, input, output, and other keys whose values are strings
    source: str  # the file or hub dataset
    index: int  # the row's place in it, from 0


def read(paths: Sequence[str], split: str = "train", subset: str | None = None) -> list[Record]:
    """Every row of every path, in order. Raises UserError where a file or a row is not what it should be."""
    records = [record for path in whole_names(paths) for record in read_one(str(path), split, subset)]
    if not records:
        raise UserError(f"{', '.join(map(str, paths))}: no rows; the file is empty")
    return records


def whole_names(paths):
    """["a", "b.json"] -> ["a,b.json"] where that is a file: its comma divided it on the command line."""
    joined = ",".join(map(str, paths))
    return [joined] if len(paths) > 1 and Path(joined).exists() else list(paths)


def read_one(path, split, subset):
    if Path(path).is_dir():
        found = [p for p in sorted(Path(path).iterdir()) if p.suffix in SUFFIXES and p.is_file()]
        found = [p for p in found if not BESIDES.search(p.name)]
        if not found:
            raise UserError(f"{path}: a folder without {', '.join(SUFFIXES)} files")
        return [record for file in found for record in read_one(str(file), split, subset)]
    if Path(path).exists():
        if Path(path).suffix not in SUFFIXES:
            raise UserError(f"{path}: not one of {', '.join(SUFFIXES)}; name the file by its format")
        rows = {".json": json_rows, ".jsonl": jsonl_rows, ".parquet": parquet_rows}[Path(path).suffix](path)
    elif HUB_NAME.fullmatch(path) and not path.endswith(SUFFIXES):
        rows = hub_rows(path, split, subset)
    else:
        raise UserError(f"no file {path}")
    return [Record(checked(row, path, index), path, index) for index, row in enumerate(rows)]


def json_rows(path):
    if not Path(path).stat().st_size:
        raise UserError(f"{path}: the file is empty")
    rows = files.read_json(path, "file", object)
    if not isinstance(rows, list):
        raise UserError(f"{path}: holds {kind(rows)}, not a list of rows")
    return rows


def jsonl_rows(path):
    with Path(path).open(encoding="utf-8-sig") as lines:
        try:
            return [jsonl_row(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None


def jsonl_row(path, number, line):
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: broken JSON at line {number}, column {error.colno}: {error.msg}") from None
    except (RecursionError, ValueError) as error:
        raise UserError(f"{path}: line {number} is not readable as JSON: {error}") from None


def parquet_rows(path):
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path}: not readable as Parquet: {str(error).splitlines()[0]}") from None


def hub_rows(name, split, subset):
    import datasets

    try:
        return datasets.load_dataset(name, subset, split=split)
    except Exception as error:  # datasets, huggingface_hub and httpx each raise their own kinds
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"no file {name}, and the hub does not give a dataset of that name: {first}") from None


def checked(row, source, index):
    """The row itself; `input` may be missing or null and is then empty. Raises UserError."""
    where = f"{source}: row {index}"
    if not isinstance(row, dict):
        raise UserError(f"{where} is {kind(row)}, not an object with {', '.join(FIELDS)}")
    for field in ("instruction", "output"):
        if field not in row:
            raise UserError(f"{where} has no {field!r}; its keys are {', '.join(map(str, sorted(row))) or 'none'}")
    fields = {field: "" if field == "input" and row.get(field) is None else row[field] for field in FIELDS}
    for field, value in fields.items():
        if not isinstance(value, str):
            raise UserError(f"{where}: {field!r} is {kind(value)}, not a string")
    return fields | {key: value for key, value in row.items() if key not in fields and isinstance(value, str)}


def kind(value):
    """{} -> "an object"; 3 -> "a number" """
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)


def has_broken_unicode(row):
    """A lone surrogate ("\\ud800"), which JSON can hold and no UTF-8 file, no tokenizer can."""
    try:
        "".join([*row, *row.values()]).encode()
    except UnicodeEncodeError:
        return True
    return False


def check_unicode(rows, where):
    """Raises UserError at the first row that no tokenizer can read."""
    for index, row in enumerate(rows):
        if has_broken_unicode(row):
            raise UserError(f"{where}: row {index} holds a lone surrogate; data/preprocess.py drops such rows")


def write(path, rows):
    """A JSON list with one row a line, so that a person can read it and a diff shows rows."""
    encode = json.JSONEncoder(ensure_ascii=False).encode
    with files.whole_file(path) as file:
        file.write("[\n" + ",\n".join(map(encode, rows)) + "\n]\n")


def write_dropped(path, dropped):
    """One JSON line for each (record, reason); escaped to ASCII, since a dropped row may hold broken Unicode."""
    with files.whole_file(path) as file:
        for record, reason in dropped:
            place = {"reason": reason, "source": record.source, "index": record.index}
            file.write(json.dumps({"row": record.row, **place}, default=str) + "\n")
