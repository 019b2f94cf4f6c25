"""Files and folders appear whole or not at all.

What is being written stands under a hidden temporary name beside its place and is renamed when it is complete;
whatever interrupts it (an error, a full disk, kill -9) leaves the old file, or none.
"""

import errno
import hashlib
import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

from codetune.cli import FULL_DISK, UserError

NEARLY_FULL = 64 << 20  # bytes


@contextmanager
def whole_file(path, mode="w"):
    """Yields a file to write; it takes the place of `path` when the block ends without an exception."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    encoding = None if "b" in mode else "utf-8"
    try:
        with naming_full_disk(path), partial.open(mode, encoding=encoding) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path, last=(), owned=()):
    """Yields a folder to fill; its files move into `path` when the block ends without an exception.

    Where `path` already holds files, those of the same name are replaced, those that match a pattern in `owned` (an
    earlier model's) go, and the others stay. The names in `last` move at the end, in that order: they are what proves
    the folder complete.
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        with naming_full_disk(path):
            yield partial
        readable(partial)
        if path.exists():
            move_into(partial, path, last, owned)
        else:
            partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def readable(folder):
    """safetensors makes files for their owner alone; here the user's umask decides, as for every other file."""
    umask = os.umask(0)
    os.umask(umask)
    for entry in folder.iterdir():
        entry.chmod(0o666 & ~umask)


def move_into(source, target, last=(), owned=()):
    """Moves every file of `source` into the folder `target`, those named in `last` at the end."""
    names = [entry.name for entry in sorted(source.iterdir()) if entry.name not in last]
    for name in (*names, *last):
        if (target / name).is_dir():
            raise UserError(f"{target / name} is a folder where a file must go; move it away")
    for name in last:
        (target / name).unlink(missing_ok=True)
    for old in {old for pattern in owned for old in target.glob(pattern)}:
        if not (source / old.name).exists():
            old.unlink()
    for name in names + [name for name in last if (source / name).exists()]:
        (source / name).replace(target / name)


@contextmanager
def naming_full_disk(path):
    """Whatever a library makes of a full disk becomes OSError(ENOSPC) with the name of what was being written."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            error.filename = str(path)
            raise
        if says_full_disk(error, path):
            raise OSError(errno.ENOSPC, "No space left on device", str(path)) from error
        raise


def says_full_disk(error, path):
    """safetensors says it in words, NumPy counts what it wrote, torch's writer only fails: then the disk is asked."""
    text = str(error)
    if "No space left on device" in text or "File too large" in text or " requested and " in text:
        return True
    wrote_short = "inline_container" in text or "PytorchStreamWriter" in text or "unexpected pos" in text
    folder = next(p for p in (Path(path), *Path(path).absolute().parents) if p.is_dir())
    return wrote_short and shutil.disk_usage(folder).free < NEARLY_FULL


def check_output_file(path, flag):
    """Before any work: can `path` become a file? Makes the folder that it is to stand in."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"--{flag}: {path} is a folder; name a file in it")
    check_output_folder(path.parent, flag)


def check_output_folder(path, flag):
    """Before any work: makes the folder `path`, or says in one sentence why it cannot."""
    if not str(path):
        raise UserError(f"--{flag} is empty; name a folder")
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        blocker = next(p for p in (path, *path.parents) if p.exists() and not p.is_dir())
        raise UserError(f"--{flag}: {blocker} is a file, not a folder; choose another name or move it away") from None
    except OSError as error:
        raise UserError(f"--{flag}: the folder {path} cannot be made ({error.strerror}); choose another") from None
    if not os.access(path, os.W_OK):
        raise UserError(f"--{flag}: no permission to write into the folder {path}; choose another")


def read_json(path, what, kind=(dict, list)):
    """The parsed content of a JSON file that a person may have touched; UserError names line and column."""
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(content, kind):
            raise UserError(f"{path}: a {what} is an object {{...}}, this file holds something else")
        return content
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: broken JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    except FileNotFoundError:
        raise UserError(f"no {what} at {path}") from None
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise UserError(f"{path}: not readable as JSON: {error}") from None


def write_json(path, content):
    with whole_file(path) as file:
        json.dump(content, file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def sha256(*parts):
    """The hexadecimal digest of byte strings, each framed by its length so that borders count."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def check_room(folder, size: int):
    """Raises UserError where `size` bytes do not fit the disk under `folder`."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"no space left for {folder}: {size / 1e9:.2f} GB to write, {free / 1e9:.2f} GB free on that disk"
        )
