"""A function becomes a checked command line.

    def finetune(base_model: str, learning_rate: float = 3e-4): ...
    cli.run(finetune)

    $ python finetune.py --base_model m --learnig_rate 1e-5
    finetune: unknown flag --learnig_rate, did you mean --learning_rate?

python-fire makes the call. Alone it would run the function before it complains about a misspelled flag, read
`--bf16=false` as true and `--base_model=1e3` as a number; here names are checked and values converted by the
signature's annotations first. Annotations that are understood: str, int, float, bool, Literal, list[...] and unions.
"""

import difflib
import errno
import inspect
import math
import os
import re
import sys
import types
import typing
from pathlib import Path

TRUE, FALSE = ("true", "yes", "1"), ("false", "no", "0")
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # also a quota or a limit on file sizes


class UserError(Exception):
    """Something a person can fix: one sentence that says what is wrong, where, and what to do."""


def run(function, aliases=None, argv=None, name=None):
    """Calls `function` with the command line's flags; a UserError becomes one line on stderr and exit code 1.

    aliases: other names of flags. {"model_path": "base_model"} renames, keeping the value;
    {"load_8bit": {True: ("bits", "8")}} is a switch that stands for another flag's value (or for nothing).
    """
    argv = sys.argv[1:] if argv is None else argv
    name = name or Path(sys.argv[0]).stem
    try:
        if asks_for_help(argv):
            print(help_text(function, aliases, name))
            return
        call(function, parse(function, argv, aliases or {}))
    except UserError as error:
        sys.exit(f"{name}: {error}")
    except BrokenPipeError:
        # The reader (head, a closed pager) has seen enough; Python would complain again while it closes the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        sys.exit(f"{name}: {file_trouble(error)}")
    except KeyboardInterrupt:
        print(f"\n{name}: stopped", file=sys.stderr)
        sys.exit(130)


def file_trouble(error):
    """One sentence for what the system says of a file; an error that names no file is ours, and raised again."""
    if error.errno in FULL_DISK:
        where = f" while writing {error.filename}" if error.filename else ""
        return f"no space left on the disk{where}; free some or choose another output, then run it again"
    if not error.filename:
        raise error
    return f"{error.filename}: {error.strerror}; name another file or folder, or change its permissions"


def call(function, values):
    """Fire's call, with every value already of its type."""
    import fire

    converters = {name: lambda _, value=value: value for name, value in values.items()}
    checked = fire.decorators.SetParseFns(**converters)(function)
    fire.Fire(checked, command=[f"--{name}=" for name in values], serialize=lambda result: None)


def parse(function, argv, aliases=None):
    """["--rank", "8", "--quiet"] -> {"rank": 8, "quiet": True}, by the annotations of `function`."""
    parameters = inspect.signature(function).parameters
    hints = typing.get_type_hints(function)
    values = {}
    for flag, typed, text in flags(argv, parameters, aliases or {}):
        values[flag] = convert(typed, text, hints.get(flag, str))
    missing = [f"--{name}" for name, p in parameters.items() if p.default is p.empty and name not in values]
    if missing:
        raise UserError(f"{' and '.join(missing)} missing; --help lists every flag")
    return values


def flags(argv, parameters, aliases):
    """Yields (parameter, the flag as typed, its text), aliases resolved; a bare --flag is "true", --noflag "false".

    Values without a flag fill the required flags that were not named, in order.
    """
    tokens, loose, named = list(argv), [], set()
    while tokens:
        token = tokens.pop(0)
        if not looks_like_flag(token):
            loose.append(token)
            continue
        typed, equals, text = token.lstrip("-").partition("=")
        typed = typed.replace("-", "_")
        if not equals and tokens and not looks_like_flag(tokens[0]):
            text = tokens.pop(0)
        elif not equals:
            typed, text = bare(typed, parameters, aliases)
        for flag in resolve(typed, text, parameters, aliases):
            named.add(flag[0])
            yield flag
    open_flags = [name for name, p in parameters.items() if p.default is p.empty and name not in named]
    for token in loose:
        if not open_flags:
            raise UserError(
                f"unexpected {token!r}; values belong to flags, as in --name {token}, lists as in --name a,b"
            )
        yield open_flags[0], open_flags.pop(0), token


def looks_like_flag(token):
    """--name, --name=value or -n; but not "-1", "-" or "- an item"."""
    return re.match(r"--?[A-Za-z][\w-]*(=|$)", token) is not None


def bare(typed, parameters, aliases):
    """("nobf16") -> ("bf16", "false") where bf16 is a flag and nobf16 is none."""
    known = typed in parameters or typed in aliases
    positive = typed.removeprefix("no").removeprefix("_")
    if not known and typed.startswith("no") and (positive in parameters or positive in aliases):
        return positive, "false"
    return typed, "true"


def resolve(typed, text, parameters, aliases):
    alias = aliases.get(typed, typed)
    if isinstance(alias, dict):
        meant = alias.get(convert(typed, text, bool))
        if meant is not None:
            yield meant[0], typed, meant[1]
    elif alias in parameters:
        yield alias, typed, text
    else:
        near = difflib.get_close_matches(typed, [*parameters, *aliases], n=1)
        raise UserError(f"unknown flag --{typed}" + (f", did you mean --{near[0]}?" if near else "; see --help"))


def convert(flag, text, annotation):
    """("lr", "1e-4", float) -> 0.0001; ("modules", "[q,v]", list[str]) -> ["q", "v"]. Raises UserError."""
    try:
        return converted(text, annotation)
    except ValueError:
        raise UserError(f"--{flag}={text} is not {described(annotation)}") from None


def converted(text, annotation):
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is bool:
        return boolean(text)
    if annotation is float:
        return finite(float(text))
    if origin is typing.Literal:
        return next_or_value_error(choice for choice in arguments if str(choice) == text)
    if origin in (typing.Union, types.UnionType):
        return first_that_converts(text, arguments)
    if annotation is types.NoneType:
        return next_or_value_error(None for word in ("none", "null") if text.lower() == word)
    if origin is list:
        return [converted(word, arguments[0]) for word in words(text)]
    return annotation(text)


def boolean(text):
    if text.lower() not in TRUE + FALSE:
        raise ValueError(text)
    return text.lower() in TRUE


def finite(number):
    if not math.isfinite(number):
        raise ValueError(number)
    return number


def next_or_value_error(candidates):
    for candidate in candidates:
        return candidate
    raise ValueError


def first_that_converts(text, annotations):
    """str last, so that `int | str` gives a number where it can, and None before it."""
    for annotation in sorted(annotations, key=lambda a: (a is str, a is not types.NoneType)):
        try:
            return converted(text, annotation)
        except ValueError:
            continue
    raise ValueError(text)


def words(text):
    """'[a, "b"]', 'a,b' or 'a' -> the list of names"""
    inside = text.strip().removeprefix("[").removesuffix("]").removeprefix("(").removesuffix(")")
    return [word.strip().strip("'\"") for word in inside.split(",") if word.strip()]


def described(annotation):
    """int | None -> "int"; Literal[8, 16] -> "one of 8, 16"; list[str] -> "list of str" """
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return "one of " + ", ".join(map(str, arguments))
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " or ".join(described(argument) for argument in arguments if argument is not types.NoneType)
    if typing.get_origin(annotation) is list:
        return f"list of {described(arguments[0])}"
    return {bool: "true or false", float: "a finite number"}.get(annotation, annotation.__name__)


def asks_for_help(argv):
    return any(token in ("--help", "-h", "-help") for token in argv)


def help_text(function, aliases=None, name=None):
    """The docstring as a page: what it does, every flag with type, default and meaning, the accepted other names."""
    from fire import docstrings

    doc = docstrings.parse(inspect.getdoc(function) or "")
    meanings = {argument.name: argument.description for argument in doc.args or []}
    hints, parameters = typing.get_type_hints(function), inspect.signature(function).parameters
    required = [f"--{flag} {flag.upper()}" for flag, p in parameters.items() if p.default is p.empty]
    lines = [f"{name}: {doc.summary}", "", f"python {name}.py {' '.join(required)} [flags]".replace("  ", " "), ""]
    lines += [doc.description, ""] if doc.description else []
    for flag, parameter in parameters.items():
        lines += flag_lines(flag, parameter, hints.get(flag, str), meanings.get(flag))
    if aliases:
        lines += ["", "Also accepted: " + ", ".join(f"--{alias}" for alias in aliases)]
    return "\n".join(lines)


def flag_lines(flag, parameter, annotation, meaning):
    default = "required" if parameter.default is parameter.empty else f"default {shown(parameter.default)}"
    lines = [f"  --{flag}   ({described(annotation)}; {default})"]
    return lines + ([f"      {meaning}"] if meaning else [])


def shown(default):
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, (list, tuple)):
        return ",".join(map(str, default)) or "empty"
    return "none" if default is None else str(default)
