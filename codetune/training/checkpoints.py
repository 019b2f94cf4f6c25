"""The checkpoints of a run: which are whole, which to go on from, and that two runs never mix in one folder."""

import json
import os
import shutil
from pathlib import Path

from codetune import files
from codetune.cli import UserError

WHOLE = "codetune.whole"  # written into a checkpoint after everything else
RUN = "run.json"  # what a resumed run must have in common with the one it goes on from
LOCKS = {}  # folder -> open file; closing it would give the folder free


def is_main_process() -> bool:
    return int(os.environ.get("RANK", 0)) == 0


def whole(output_dir) -> list[Path]:
    """The checkpoint folders that are whole, the oldest first; one that kill -9 cut short is not among them."""
    found = [path for path in Path(output_dir).glob("checkpoint-*") if path.name[11:].isdigit()]
    return sorted(filter(is_whole, found), key=lambda path: int(path.name[11:]))


def mark_whole(checkpoint):
    """Notes every file and its size, so that one that was lost or cut later is noticed as well."""
    sizes = {path.name: path.stat().st_size for path in sorted(checkpoint.iterdir()) if path.is_file()}
    files.write_json(checkpoint / WHOLE, sizes)


def is_whole(checkpoint):
    if not (checkpoint / WHOLE).is_file():
        return False
    sizes = files.read_json(checkpoint / WHOLE, "checkpoint's list of files", dict)
    there = {path.name: path.stat().st_size for path in checkpoint.iterdir()}
    return all(there.get(name) == size for name, size in sizes.items())


def prepare(output_dir, resume, overwrite: bool, settings: dict) -> Path | None:
    """The checkpoint to go on from, or None to start afresh. Raises UserError rather than mix two runs.

    resume: None or False, True or "auto" (the newest whole checkpoint, if any), or a checkpoint's folder.
    settings: what must be the same in both, as the data and the batch size.
    """
    files.check_output_folder(output_dir, "output_dir")
    run = Path(output_dir) / RUN
    lock(output_dir)
    if resume in (None, False):
        start_afresh(output_dir, overwrite)
        files.write_json(run, settings)
        return None
    found = chosen_checkpoint(output_dir, resume)
    earlier = found.parent / RUN if found else run
    before = files.read_json(earlier, "run", dict) if earlier.is_file() else settings
    changed = [key for key in settings if before.get(key) != settings[key]] if found else []
    if changed:
        key = changed[0]
        raise UserError(
            f"--resume_from_checkpoint: the run of {found} had {key} {json.dumps(before.get(key))}, this one has "
            f"{json.dumps(settings[key])}; give the same, or start afresh in another --output_dir"
        )
    files.write_json(run, settings)
    return found


def lock(output_dir):
    """Held until this process ends: two runs in one folder would mix their checkpoints. Raises UserError."""
    import fcntl

    folder = Path(output_dir).resolve()
    if folder in LOCKS:
        return
    held = (folder / ".lock").open("w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if is_main_process():
            raise UserError(f"another run is writing into {output_dir}; choose another --output_dir") from None
    LOCKS[folder] = held


def chosen_checkpoint(output_dir, resume):
    if resume in (True, "auto"):
        return next(reversed(whole(output_dir)), None)
    path = Path(resume)
    if not (path / "trainer_state.json").is_file() or ((path / WHOLE).is_file() and not is_whole(path)):
        known = ", ".join(str(found) for found in whole(output_dir)) or "none"
        raise UserError(
            f"--resume_from_checkpoint={path}: no whole checkpoint there; whole ones in {output_dir}: {known}"
        )
    return path


def start_afresh(output_dir, overwrite):
    old = [path for path in Path(output_dir).glob("checkpoint-*") if path.is_dir()]
    if old and not overwrite:
        raise UserError(
            f"{output_dir} holds checkpoints of an earlier run ({old[0].name}); add --resume_from_checkpoint auto to "
            "go on with it, --overwrite_output_dir to delete them, or choose another --output_dir"
        )
    for path in old:
        shutil.rmtree(path)
