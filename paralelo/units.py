"""Meltano's schedules as systemd units or crontab lines."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from sync_rules.exits import ConfigurationError

from paralelo import project
from paralelo.project import MODES, Table

_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_ENV = "/usr/bin/env"
_NAME = re.compile(r"[A-Za-z0-9:_.@-]+")
"""What systemd takes in a unit's name; a backslash, which it takes too, is for what stands for something else."""
_PART = re.compile(r"^(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?$")


@dataclass(frozen=True)
class Schedule:
    """One of Meltano's schedules; `interval` is a cron expression of five fields, `env` what it sets for its job."""

    name: str
    interval: str
    job: str
    env: tuple[tuple[str, str], ...] = ()


def schedules(root: Path, settings: Mapping[str, str] | None = None) -> list[Schedule]:
    """Every schedule that runs a job, from meltano.yml and the files it includes. Those without a time are left out.

    With `settings` those too whose source has none, as `all` leaves out its tables: they could only fail, each quarter
    of an hour. Where no source has any, nothing is known yet and none is left out.
    """
    contents = [project.main_file(root), *project.files(root)]
    try:
        found = [one for content in contents for one in map(_schedule, content.get("schedules") or []) if one]
    except (AttributeError, KeyError, TypeError) as error:
        told = "a schedule in meltano.yml or below extract/ is not as the others are"
        raise ConfigurationError(f"{told}, with a name, an interval and a job: {error}") from error
    if twice := [name for name, count in Counter(schedule.name for schedule in found).items() if count > 1]:
        raise ConfigurationError(f"two schedules are called {twice[0]}, and only one of them would run: rename one")
    tables = project.tables(root)
    away = {job for table in tables if not table.configured(settings or {}) for job in table.jobs.values()}
    if settings is None or not any(table.configured(settings) for table in tables):
        return found
    return [schedule for schedule in found if schedule.job not in away]


def _schedule(entry: Mapping[str, Any]) -> Schedule | None:
    """A schedule that runs a job at a time, as a file has it; None for another."""
    interval = str(entry.get("interval") or "")
    if not entry.get("job") or interval in ("", "@once", "@manual", "@none"):
        return None
    env = tuple((str(name), str(value)) for name, value in (entry.get("env") or {}).items())
    return Schedule(str(entry["name"]), _ALIASES.get(interval, interval), str(entry["job"]), env)


def environment(root: Path, name: str) -> dict[str, str]:
    """What the schedule of that name sets for its job. Raises ConfigurationError where there is none."""
    for schedule in schedules(root):
        if schedule.name == name:
            return dict(schedule.env)
    raise ConfigurationError(f"there is no schedule {name} that has a time: see meltano schedule list")


def command(schedule: Schedule, tables: Iterable[Table], root: Path, *, plain: bool) -> list[str]:
    """What a schedule runs: its job under recovery, or with `plain`, or for a job that is not ours, Meltano itself."""
    if not plain:
        for table in tables:
            for mode in MODES:
                if table.jobs.get(mode) == schedule.job:
                    python = str(root / ".venv" / "bin" / "python")
                    words = [python, str(root / "scripts" / "auto_recovery.py"), mode, table.name, schedule.job]
                    # By name: what it sets may be secret, and everybody can read units and the process list.
                    return [*words, "--schedule", schedule.name] if schedule.env else words
    return [str(root / ".venv" / "bin" / "meltano"), "schedule", "run", schedule.name]


def systemd(
    root: Path, *, plain: bool = False, user: str | None = None, settings: Mapping[str, str] | None = None
) -> dict[str, str]:
    """By file name: a service and a timer for each schedule, from the templates in ops/."""
    tables = project.tables(root)
    templates = {
        kind: Template((root / "ops" / f"paralelo.{kind}.in").read_text(encoding="utf-8"))
        for kind in ("service", "timer")
    }
    files = {}
    for schedule in schedules(root, settings):
        if not _NAME.fullmatch(schedule.name):
            raise ConfigurationError(
                f"systemd takes letters, digits and :_.@- in a unit's name: give the schedule {schedule.name!r} another"
            )
        start = command(schedule, tables, root, plain=plain)
        if start[0] != _ENV:
            # A program's own name may have no quote and no dollar, and the project's folder may have them.
            start = [_ENV, *start]
        words: Mapping[str, str] = {
            "name": schedule.name,
            "job": schedule.job,
            "root": str(root).replace("%", "%%"),
            "command": " ".join(_quoted(word) for word in start),
            "calendar": "\n".join(f"OnCalendar={when}" for when in calendars(schedule.interval)),
            "user": f"User={user}\n" if user else "",
        }
        for kind, template in templates.items():
            files[f"paralelo-{schedule.name}.{kind}"] = template.substitute(words)
    return files


def crontab(root: Path, *, plain: bool = False, settings: Mapping[str, str] | None = None) -> list[str]:
    """A line for each schedule. `%` means a new line to cron."""
    tables = project.tables(root)
    lines = []
    for schedule in schedules(root, settings):
        words = shlex.join(command(schedule, tables, root, plain=plain))
        log = shlex.quote(f"logs/cron-{schedule.name.replace('/', '-')}.log")
        # The log is its owner's alone; metrics beside it are for node_exporter, a user of its own.
        log_is_there = f"mkdir -p logs && (umask 077 && : >> {log})"
        line = f"cd {shlex.quote(str(root))} && {log_is_there} && {words} >> {log} 2>&1"
        lines.append(f"{schedule.interval} {line}".replace("%", r"\%"))
    return lines


def calendars(interval: str) -> list[str]:
    """A cron expression as systemd's OnCalendar: two of them where cron's day of month and day of week are both set,
    for to cron either will do, unless one of them begins with a star: then both must.
    Raises ConfigurationError for what it cannot say."""
    fields = interval.split()
    if len(fields) != 5:
        raise ConfigurationError(f"{interval!r} is no cron expression of five fields")
    minute, hour, day, month, weekday = fields
    month, weekday = _numbered(month, _MONTH_NAMES, 1), _numbered(weekday, _DAYS[:7], 0)
    time = f"{_field(hour, 0, 23)}:{_field(minute, 0, 59)}:00"
    months = _field(month, 1, 12)
    by_day = f"*-{months}-{_field(day, 1, 31)} {time}"
    if weekday == "*":
        return [by_day]
    weekdays = _weekdays(weekday)
    if day.startswith("*") or weekday.startswith("*"):
        return [f"{weekdays} {by_day}"]
    return [by_day, f"{weekdays} *-{months}-* {time}"]


def _numbered(text: str, names: Iterable[str], first: int) -> str:
    """With numbers where it has names, of months or of days, as cron and Meltano take them."""
    numbers = {name.lower(): str(number) for number, name in enumerate(names, first)}
    return re.sub(r"[A-Za-z]+", lambda found: numbers.get(found[0].lower(), found[0]), text)


def _field(text: str, lowest: int, highest: int) -> str:
    return ",".join(_part(part, lowest, highest) for part in text.split(","))


def _part(text: str, lowest: int, highest: int) -> str:
    match = _PART.match(text)
    if match is None:
        raise ConfigurationError(f"{text!r} in a schedule's interval is not understood")
    first, last, step = (int(group) if group else None for group in match.groups())
    for number in (first, last):
        if number is not None and not lowest <= number <= highest:
            raise ConfigurationError(f"{text!r} in a schedule's interval is out of range")
    if step is not None and step < 1:
        raise ConfigurationError(f"{text!r} in a schedule's interval never comes")
    if first is None:
        return "*" if step in (None, 1) else f"{lowest}..{highest}/{step}"
    if last is None and step is None:
        return f"{first:02d}"
    return f"{first:02d}..{last if last is not None else highest:02d}" + (f"/{step}" if step else "")


def _weekdays(text: str) -> str:
    names = []
    for part in text.split(","):
        match = _PART.match(part)
        if match is None:
            raise ConfigurationError(f"{part!r} as a day of the week is not understood")
        step = int(match[3] or 1)
        first, last = int(match[1] or 0), int(match[2] or (match[1] if match[1] and not match[3] else 6))
        if not (0 <= first <= last <= 7 and step):
            raise ConfigurationError(f"{part!r} as a day of the week is out of range")
        names += [_DAYS[number] for number in range(first, last + 1, step)]
    return ",".join(dict.fromkeys(names))


def _quoted(word: str) -> str:
    """As systemd reads it: `%` and `$` stand for something unless they are doubled."""
    word = word.replace("%", "%%").replace("$", "$$")
    return word if re.fullmatch(r"[\w@%+=:,./-]+", word) else '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
