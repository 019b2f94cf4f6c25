"""Templates: a row becomes a prompt, and the response is found again in what a model wrote.

A template is a JSON file of four keys: prompt_input and prompt_no_input (with {instruction} and {input}),
response_split (what stands before the response) and description.
"""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from codetune import files
from codetune.cli import UserError

FOLDER = Path(__file__).resolve().parents[2] / "templates"
KEYS = ("prompt_input", "prompt_no_input", "response_split", "description")


@dataclass(frozen=True)
class Template:
    name: str
    prompt_input: str
    prompt_no_input: str
    response_split: str
    description: str = ""

    def prompt(self, instruction: str, input: str = "") -> str:
        """What stands before the response. Braces in the row stay as they are."""
        form = self.prompt_input if input else self.prompt_no_input
        return re.sub(r"\{(instruction|input)\}", lambda m: instruction if m[1] == "instruction" else input, form)

    def response(self, text: str) -> str:
        """ "...### Response:\\nx = 1" -> "x = 1" """
        return text.split(self.response_split, 1)[-1].strip()

    @property
    def stops(self) -> tuple[str, ...]:
        """What a model that goes on to invent the next exchange begins it with: "\\n### Instruction:" """
        heading = re.search(r"^(.+)\n\{instruction\}", self.prompt_no_input, re.MULTILINE)
        return (f"\n{heading[1]}",) if heading and not heading[1].isspace() else ()

    def as_dict(self) -> dict:
        return {"name": self.name, **{key: getattr(self, key) for key in KEYS}}


def load(name: str) -> Template:
    """A template by its name in templates/ or by its file. Raises UserError."""
    path = Path(name) if name.endswith(".json") else FOLDER / f"{name}.json"
    if not path.is_file():
        known = sorted(p.stem for p in FOLDER.glob("*.json"))
        near = difflib.get_close_matches(name, known, n=1)
        meant = f", did you mean {near[0]}?" if near else ""
        raise UserError(f"no template {name!r} in templates/{meant}; there are: {', '.join(known)}")
    return of(files.read_json(path, "template"), path.stem, path)


def of(fields: dict, name: str, where) -> Template:
    """A template from its four keys, as they stand in a file or in codetune.json. Raises UserError."""
    if not isinstance(fields, dict):
        raise UserError(f"{where}: a template is an object with {', '.join(KEYS)}")
    missing = [key for key in KEYS[:3] if not isinstance(fields.get(key), str)]
    if missing:
        raise UserError(f"{where}: a template needs {missing[0]!r} as a string")
    if any("\ud800" <= character <= "\udfff" for key in KEYS[:3] for character in fields[key]):
        raise UserError(f"{where}: holds a lone surrogate, which no tokenizer reads")
    for key, hole in (("prompt_input", "instruction"), ("prompt_no_input", "instruction"), ("prompt_input", "input")):
        if f"{{{hole}}}" not in fields[key]:
            raise UserError(f"{where}: {key} has no {{{hole}}}, so the model would never see it; add it")
    return Template(name=name, **{key: fields.get(key, "") for key in KEYS})
