"""What dead runs left behind: Meltano's plain-text copies of plugin settings, and its unredacted logs.

A settings file belongs to a living run if a living process has it in its command line, if a living Meltano of the
project has yet to start that plugin or has just seen it end, or if it is so young that nothing can be told of it.
Everything else belongs to nobody.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from paralelo.jobs import SCRATCH, lives

YOUNG_SECONDS = 60.0
_SHOWS_SECONDS = 2.0
"""A process that shows no command line for that long is a kernel's thread, which has none."""


def remove(
    root: Path,
    *,
    plugins: frozenset[str] | None = None,
    young_seconds: float = YOUNG_SECONDS,
    clock: Callable[[], float] = time.time,
) -> list[Path]:
    """Remove what dead runs left below the project. Returns what was removed.

    With `plugins` only those plugins' files are looked at, and with `young_seconds=0` also the youngest: for a caller
    who knows that no run of these plugins is about to start on another machine.
    """
    # Files first: what is written from here on is not looked at.
    candidates = [path for path in _settings_files(root) if plugins is None or path.parent.name in plugins]
    awaited = {folder for folder in {path.parent for path in candidates} if _is_awaited(folder, root)}
    in_use = "\n".join(_command_lines())
    removed = []
    for path in candidates:
        if path.parent in awaited:
            continue
        try:
            # One from the future is not young: the machine's clock was put back.
            if abs(clock() - path.stat().st_mtime) >= young_seconds and str(path) not in in_use:
                path.unlink()
                removed.append(path)
        except OSError:
            continue  # gone meanwhile, or another user's
    for path in (root / SCRATCH).glob("*-*"):
        if not lives(path.name.rpartition("-")[0]):
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path)
    return removed


def _settings_files(root: Path) -> Iterator[Path]:
    # Meltano names them `<kind>.<uuid>.config.json`, below the plugin's own folder.
    yield from (root / ".meltano" / "run").glob("*/*.config.json")


def _is_awaited(folder: Path, root: Path) -> bool:
    """Whether a living Meltano of the project runs no plugin with settings from this folder: it may be about to."""
    for process in psutil.process_iter():
        try:
            words = [Path(word).name for word in _words(process)[:3]]
            if "meltano" not in words or Path(process.cwd()) != root or process.status() == psutil.STATUS_ZOMBIE:
                continue
            below = "\n".join(word for child in process.children(recursive=True) for word in _words(child))
            if f"{folder}{os.sep}" not in below:
                return True
        except (psutil.Error, OSError):
            continue
    return False


def _command_lines() -> Iterator[str]:
    for process in psutil.process_iter():
        try:
            yield " ".join(_words(process))
        except (psutil.Error, OSError):
            continue


def _words(process: psutil.Process) -> list[str]:
    """The command line. A process shows none for a moment after its start, on a busy machine for longer.

    It is waited for, or a Meltano that has just been started would be taken for nobody.
    """
    until = time.monotonic() + _SHOWS_SECONDS
    while not (words := process.cmdline()):
        if time.time() - process.create_time() > _SHOWS_SECONDS or time.monotonic() > until:
            break
        time.sleep(0.005)
    return words
