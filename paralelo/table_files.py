"""A table's file below extract/: its extractors, jobs and schedules, in one shape; written whole or not at all."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sync_rules.exits import ConfigurationError

from paralelo import project
from paralelo.project import Table
from paralelo.propose import Proposal

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_WORDS = frozenset({"yes", "no", "on", "off", "true", "false", "null", "y", "n"})
_EXPANDED = re.compile(r"\$(?=\{\w+\}|[A-Z])")
"""What Meltano would take for a variable of the environment; a backslash before it keeps it as it is."""
_HOURS = range(2, 24)
_DAYS = (0, 6, 5, 4, 3, 2, 1)


@dataclass(frozen=True)
class Draft:
    """A file as it would be written. `before` is what is there now; None where nothing is."""

    proposal: Proposal
    path: Path
    text: str
    before: str | None = None

    @property
    def same(self) -> bool:
        """Whether writing it would change nothing."""
        return self.before == self.text

    def diff(self) -> str:
        """What writing it would change."""
        name = f"extract/{self.path.name}"
        lines = difflib.unified_diff(
            (self.before or "").splitlines(keepends=True), self.text.splitlines(keepends=True), name, f"{name} (new)"
        )
        return "".join(lines)


def draft(proposal: Proposal, root: Path, *, taken: Iterable[Proposal] = ()) -> Draft:
    """The file for a proposal. A table that has a file keeps it, and its schedules.

    `taken` are tables that are to be written beside it. Raises ConfigurationError where its name is another's, or
    nothing of it can be a job's.
    """
    known = project.tables(root)
    mine = next((table for table in known if _same(table, proposal)), None)
    if not proposal.name:
        if mine is None:
            raise ConfigurationError(
                f"{proposal.source}: nothing of the name can be part of a job's name: write its file by hand"
            )
        proposal = replace(proposal, name=mine.name)
    others = [(table.source, table.target, table.name) for table in known if table is not mine]
    others += [(one.source, one.target, one.name) for one in taken]
    for source, target, name in others:
        if target == proposal.target or name == proposal.name:
            raise ConfigurationError(
                f"{proposal.source}: {source} goes to the table {target} and the jobs of that name already; two tables"
                " cannot share them: give one another name by a view at the source"
            )
    path = _path_of(mine, root) if mine is not None else _free_path(proposal, root)
    before = path.read_text(encoding="utf-8") if path.exists() else None
    kept = _intervals(before)
    texts = [path.read_text(encoding="utf-8") for path in _files(root)]
    weekly = kept.get("full") or _free_hour(texts)
    often = kept.get("incremental") or _free_minute(texts)
    return Draft(proposal, path, content(proposal, weekly, often), before)


def existing(proposal: Proposal, root: Path) -> Table | None:
    """The project's table that the proposal is of, if there is one."""
    return next((table for table in project.tables(root) if _same(table, proposal)), None)


def content(proposal: Proposal, weekly: str, often: str) -> str:
    """The file's text."""
    name, plugin = proposal.name, proposal.plugin
    both = "incremental" in proposal.modes
    what = "its two extractors, their jobs and their schedules" if both else "its extractor, its job and its schedule"
    lines = [f"# {_comment(proposal.source)}: {what}.", "plugins:", "  extractors:"]
    for mode in proposal.modes:
        lines += [
            f"  - name: {plugin}-{mode}-{name}",
            f"    inherit_from: {plugin}",
            "    config:",
            f"      sync_mode: {mode}",
            f"      tables: [{scalar(proposal.source)}]",
        ]
        if proposal.key:
            lines.append(f"      key_columns: [{', '.join(map(scalar, proposal.key))}]")
        if proposal.cursor:
            lines.append(f"      cursor_column: {scalar(proposal.cursor)}")
        if mode == "incremental":
            state = f"${{MELTANO_ENVIRONMENT}}:{plugin}-full-{name}-to-target-postgres"
            lines.append(f"      full_sync_state_id: {state}")
    lines += ["", "jobs:"]
    for mode in proposal.modes:
        lines += [f"- name: parallel-{mode}-sync-{name}", "  tasks:", f"  - {plugin}-{mode}-{name} target-postgres"]
    lines += ["", "schedules:", *_schedule(f"full-{name}-weekly", weekly, f"parallel-full-sync-{name}")]
    if both:
        title = f"incremental-{name}-every-15-minutes"
        lines += _schedule(title, often, f"parallel-incremental-sync-{name}")
    return "\n".join(lines) + "\n"


def scalar(text: str) -> str:
    """A name in YAML, inside Meltano's configuration: neither may read anything else in it."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(_EXPANDED.sub(r"\\$", text), ensure_ascii=False)


def write(made: Draft) -> None:
    """Write it: whole, or what was there stays."""
    unfinished = made.path.with_name(f".{made.path.name}.{os.getpid()}")
    try:
        unfinished.write_text(made.text, encoding="utf-8")
        unfinished.replace(made.path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise ConfigurationError(f"extract/{made.path.name} cannot be written: {error.strerror}") from error


def _schedule(name: str, interval: str, job: str) -> list[str]:
    shown = f"'{interval}'" if interval.startswith("*") else interval
    return [f"- name: {name}", f"  interval: {shown}", f"  job: {job}"]


def _comment(text: str) -> str:
    return " ".join(text.split())


def _same(table: Table, proposal: Proposal) -> bool:
    return table.plugin == proposal.plugin and table.source.casefold() == proposal.source.casefold()


def _path_of(table: Table, root: Path) -> Path:
    return next(path for path in _files(root) if table in project.tables_of(path))


def _free_path(proposal: Proposal, root: Path) -> Path:
    """A file of the target table's name. `mssql` would be the connection's: what is there is another's."""
    folder = root / "extract"
    stem = re.sub(r"[^\w-]+", "_", proposal.target)
    wanted = folder / f"{stem}.meltano.yml"
    return wanted if not wanted.exists() else folder / f"{stem}.table.meltano.yml"


def _files(root: Path) -> list[Path]:
    return sorted((root / "extract").glob("*.meltano.yml"))


def _intervals(text: str | None) -> dict[str, str]:
    """The intervals that a file has now, by mode."""
    found: dict[str, str] = {}
    for schedule in (_yaml(text) or {}).get("schedules") or []:
        mode = "incremental" if "-incremental-" in str(schedule.get("job")) else "full"
        found[mode] = str(schedule.get("interval"))
    return found


def _free_hour(texts: Iterable[str]) -> str:
    """Once a week, at an hour that no other full sync of the project begins at; nights before days, Sunday first."""
    used = [_intervals(text).get("full") for text in texts]
    slots = [f"{minute} {hour} * * {day}" for minute in (0, 30, 15, 45) for day in _DAYS for hour in _HOURS]
    return next((slot for slot in slots if slot not in used), slots[len(used) % len(slots)])


def _free_minute(texts: Iterable[str]) -> str:
    """Every quarter of an hour, at the minute at which the fewest others begin: each start keeps a core busy."""
    used = Counter(_intervals(text).get("incremental") for text in texts)
    slots = ["*/15 * * * *", *(f"{minute}-59/15 * * * *" for minute in range(1, 15))]
    return min(slots, key=lambda slot: used[slot])


def _yaml(text: str | None) -> Any:
    return project.parsed(text) if text else None
