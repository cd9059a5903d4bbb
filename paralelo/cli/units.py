"""`scripts/schedule_units.py`: Meltano's schedules as systemd units or crontab lines."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sync_rules.exits import ConfigurationError

from paralelo import progress, project, units
from paralelo.cli.options import Parser, guarded


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser(prog="schedule_units.py", description="Meltano's schedules as systemd units or crontab lines.")
    made.add_argument("--to", type=Path, metavar="FOLDER", help="write the units there (default: print them)")
    made.add_argument("--cron", action="store_true", help="print crontab lines instead")
    made.add_argument("--json", action="store_true", help="the same as JSON: by name of the file or schedule")
    made.add_argument("--plain", action="store_true", help="run Meltano itself, without recovery")
    made.add_argument("--user", help="the user the services run as (default: systemd's own)")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code."""
    return guarded(lambda: _make(parser().parse_args(arguments)))


def _make(options: argparse.Namespace) -> int:
    root = project.root()
    if options.json and options.to is not None:
        raise ConfigurationError("--json prints, --to writes: one of them")
    if options.cron and options.to is not None:
        raise ConfigurationError("--cron prints, --to writes systemd's units: one of them")
    if options.cron and options.user is not None:
        raise ConfigurationError("--user is for systemd's units: a crontab belongs to the user who loads it")
    settings = progress.settings()
    _say_what_is_left_out(root, settings)
    if options.cron:
        lines = units.crontab(root, plain=options.plain, settings=settings)
        sys.stdout.write(json.dumps(lines, indent=2) + "\n" if options.json else "".join(f"{line}\n" for line in lines))
        return 0
    files = units.systemd(root, plain=options.plain, user=options.user, settings=settings)
    if options.json:
        sys.stdout.write(json.dumps(files, indent=2) + "\n")
        return 0
    if options.to is None:
        for name, text in files.items():
            sys.stdout.write(f"# {name}\n{text}\n")
        return 0
    options.to.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (options.to / name).write_text(text, encoding="utf-8")
    if stale := sorted(path.name for path in options.to.glob("paralelo-*") if path.name not in files):
        sys.stderr.write(f"of no schedule any more, to be disabled and removed: {', '.join(stale)}\n")
    timers = " ".join(name for name in files if name.endswith(".timer"))
    sys.stdout.write(f"wrote {len(files)} units; now: systemctl daemon-reload && systemctl enable --now {timers}\n")
    return 0


def _say_what_is_left_out(root: Path, settings: Mapping[str, str]) -> None:
    kept = units.schedules(root, settings)
    away = [schedule.name for schedule in units.schedules(root) if schedule not in kept]
    if away:
        sys.stderr.write(f"left out, for their source has no setting: {', '.join(away)}\n")


if __name__ == "__main__":
    sys.exit(main())
