"""How a Meltano run ended. `meltano run` exits with 1 for every failure; its JSON log holds each plugin's own code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sync_rules.exits import Exit

_MELTANO_REFUSED = re.compile(r"Another '([^']+)' pipeline is already running")
_DISCOVERY_FAILED = re.compile(r"^Cannot start plugin .*Catalog discovery failed: .*? returned (-?\d+) with", re.DOTALL)
_PLUGINS = {"extractors": "the tap", "mappers": "the mapper", "loaders": "the target"}
_LOADERS_FIRST = ("loaders", "mappers", "extractors")
# Meltano says these before any plugin runs; running the same thing again changes nothing.
_SETTINGS = re.compile(
    r"is not (?:installed|known)|could not be (?:found|parsed)|Unknown command|Block .* not found"
    r"|Environment .* was not found|failed validation|missing required|PluginNotFound|is not set|Invalid config"
    r"|does not exist|is damaged and holds no state|readonly database|Permission denied|Read-only file system"
    r"|file is not a database|database disk image is malformed|unable to open database file"
    r"|is not a valid choice for|invalid literal for int|could not convert string to|Failed to parse JSON",
    re.IGNORECASE,
)
# SQLite's words for Meltano's own database: a tap's or target's errors come with their codes.
_DAMAGED = re.compile(r"file is not a database|database disk image is malformed")
# Of these values Meltano does not say whose they are.
_NAMELESS = re.compile(r"invalid literal for int|could not convert string to|Failed to parse JSON", re.IGNORECASE)
_WRAPPING = re.compile(
    r"^(Cannot start plugin|Block run completed|Run completed|Extractor failed|Loader failed"
    r"|Extractor and loader failed|Mappers failed|Need help fixing|The process was (terminated|interrupted)"
    r"|the target stopped reading)"
)


@dataclass(frozen=True)
class Outcome:
    """`by_signal` is the signal that ended Meltano itself, `lock_only` that Meltano refused for its own run lock: a run
    of the same state id that may be dead."""

    exit: Exit
    reason: str
    by_signal: int | None = None
    lock_only: bool = False

    @property
    def ok(self) -> bool:
        """Whether the sync is finished."""
        return self.exit is Exit.FINISHED


def judge(returncode: int, log: Iterable[Mapping[str, Any]]) -> Outcome:
    """The outcome of one attempt from Meltano's exit code and the lines it logged."""
    if returncode == 0:
        return Outcome(Exit.FINISHED, "finished")
    found = list(log)
    codes = _exit_codes(found)
    refused = _refused(found)
    if not codes and refused:
        return Outcome(Exit.ALREADY_RUNNING, refused, lock_only=True)
    exit_ = _exit(codes)
    reason = _reason(found, codes)
    if returncode < 0:
        return Outcome(exit_ or Exit.UNEXPECTED, f"Meltano was ended by signal {-returncode}", -returncode)
    if exit_ is None:
        exit_ = Exit.CONFIGURATION if _SETTINGS.search(reason) else Exit.UNEXPECTED
        if _NAMELESS.search(reason):
            reason = f"a setting has a value that cannot be read ({reason}): python scripts/doctor.py names it"
        if match := _DAMAGED.search(reason):
            reason = (
                f"Meltano's database is damaged ({match[0]}): move it away (.meltano/meltano.db, or what"
                " MELTANO_DATABASE_URI names) and run again; it is made anew"
            )
    return Outcome(exit_, reason or f"Meltano ended with {returncode}")


def _exit_codes(log: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    codes: dict[str, int] = {}
    for line in log:
        given = line.get("exit_codes")
        if isinstance(given, Mapping) and given:
            codes.update({str(plugin): int(code) for plugin, code in given.items()})
        elif match := _DISCOVERY_FAILED.search(str(line.get("event", ""))):
            codes["extractors"] = int(match[1])
    return codes


def _exit(codes: Mapping[str, int]) -> Exit | None:
    """One exit of several. A code that no restart mends counts before one that it may; of equals, the loader's: a tap
    whose target died sees no more than a broken pipe."""
    known = [_known(codes[plugin]) for plugin in _LOADERS_FIRST if codes.get(plugin)]
    final = [exit_ for exit_ in known if not exit_.restart_helps]
    telling = [exit_ for exit_ in known if exit_ is not Exit.UNEXPECTED]
    return next(iter(final or telling or known), None)


def _known(code: int) -> Exit:
    try:
        return Exit(code)
    except ValueError:
        return Exit.UNEXPECTED


def _refused(log: Iterable[Mapping[str, Any]]) -> str | None:
    for line in log:
        match = _MELTANO_REFUSED.search(str(line.get("event", "")))
        if match:
            return f"Meltano holds a run of {match[1]} for running"
    return None


def _reason(log: list[Mapping[str, Any]], codes: Mapping[str, int]) -> str:
    """The line that says why: the last error of a plugin that failed, else of anyone."""
    errors = [line for line in log if line.get("level") in ("error", "critical")]
    telling = [line for line in errors if not _WRAPPING.match(str(line.get("event", "")))]
    failed = [line for line in telling if _plugin_kind(str(line.get("source", ""))) in codes]
    chosen = failed or telling
    if chosen:
        return _one_line(chosen[-1])
    if killed := [
        f"{_PLUGINS.get(plugin, plugin)} ended with {_told(code)}" for plugin, code in codes.items() if code < 0
    ]:
        # What it last said before it was killed is not why.
        return ", ".join(killed)
    spoken = [line for line in log if _plugin_kind(str(line.get("source", ""))) in codes and line.get("event")]
    if spoken:
        return _one_line(spoken[-1])
    if codes:
        return ", ".join(f"{_PLUGINS.get(plugin, plugin)} ended with {_told(code)}" for plugin, code in codes.items())
    output = [line for line in log if line.get("source") == "output" and line.get("event")]
    return _one_line(output[-1]) if output else _one_line(errors[0]) if errors else ""


def _plugin_kind(source: str) -> str:
    return "extractors" if source.startswith("tap-") else "loaders" if source.startswith("target-") else ""


def _told(code: int) -> str:
    return f"signal {-code}" if code < 0 else str(code)


def _one_line(line: Mapping[str, Any]) -> str:
    text = str(line.get("event", "")).strip().splitlines()
    told = text[-1] if text and text[0].startswith("Traceback") else text[0] if text else ""
    return f"{told}{_cause(line) if told.startswith('Failed to persist') else ''}"[:300]


def _cause(line: Mapping[str, Any]) -> str:
    """Why state could not be saved, which Meltano says in its traceback alone."""
    chain = line.get("exception")
    found = [str(one.get("exc_value")) for one in chain if one.get("is_cause")] if isinstance(chain, list) else []
    return f": {found[-1]}" if found else ""
