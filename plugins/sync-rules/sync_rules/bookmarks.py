"""What STATE holds for one stream: frozen values, read from and written to plain dicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

from sync_rules.batch_info import Key, KeyValue
from sync_rules.exits import ConfigurationError

T = TypeVar("T")


def _read(kind: type[T], values: dict[str, Any]) -> T:
    """Raises ConfigurationError for a state that somebody wrote by hand, or cut short."""
    shown = ", ".join(f"{name}: {value!r}" for name, value in values.items())[:200]
    try:
        for name in ("upper_key", "last_key"):
            if values.get(name) is not None:
                values[name] = _key(values[name])
        if values.get("unfinished") is not None:
            high, at, key = values["unfinished"]
            values["unfinished"] = (high, at, None if key is None else _key(key))
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"the saved state is none of ours, something is missing in it or of another kind ({shown})"
        ) from error


def _key(value: object) -> Key:
    """Raises TypeError for what is no list: a text would pass for one of its letters."""
    if not isinstance(value, list | tuple):
        raise TypeError
    return tuple(value)


def _known(kind: type, saved: Mapping[str, Any]) -> dict[str, Any]:
    """The saved values this version of the program knows: a newer one may have added more."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in saved.items() if name in names}


@dataclass(frozen=True)
class FullBookmark:
    """How far a full sync has come.

    `upper_key` is None for an empty or a keyless table; `last_key`, the lowest key written, is None before the first
    page. `batches` and `rows` count over all attempts of the version. `cursor_at_start` is the source's clock when
    the sync began, in the cursor column's own terms (its type, its time zone, its precision): where the first
    incremental sync takes over. `cursor_column` and `utc_offset_minutes` say whose terms those were. `fingerprint` is
    a hash of the columns, their types and the key.
    """

    version: int
    started_at: str
    fingerprint: str
    upper_key: Key | None = None
    last_key: Key | None = None
    batches: int = 0
    rows: int = 0
    estimate: int | None = None
    cursor_at_start: KeyValue | None = None
    cursor_column: str | None = None
    utc_offset_minutes: int = 0
    done: bool = False

    def to_state(self) -> dict[str, Any]:
        """Every field, always: a deep merge of states brings a removed key back (Meltano's `--full-refresh`)."""
        state = asdict(self)
        for name in ("upper_key", "last_key"):
            if state[name] is not None:
                state[name] = list(state[name])
        return {"mode": "full", **state}

    @classmethod
    def from_state(cls, saved: Mapping[str, Any] | None) -> FullBookmark | None:
        """The bookmark in a saved state, or None where there is none of a full sync."""
        if not saved or saved.get("mode") != "full" or not saved.get("version"):
            return None
        return _read(cls, _known(cls, saved))


def forgotten(saved: object) -> dict[str, Any] | None:
    """A full sync's saved bookmark as one from which the next run begins a new version; None for any other value.

    Every field stays: where states are merged deeply, one that is only left out would come back, and the sync with it.
    """
    bookmark = FullBookmark.from_state(saved) if isinstance(saved, Mapping) else None
    if bookmark is None:
        return None
    return replace(bookmark, upper_key=None, last_key=None, batches=0, rows=0, done=False).to_state()


@dataclass(frozen=True)
class IncrementalBookmark:
    """How far incremental syncs have come.

    `cursor` is the highest cursor value seen, or where the first run began when none was seen; times as exact text at
    the source's precision. `clock` is how far the last run's reading is complete: the source's clock (in the cursor's
    terms) when it began, or the last cursor value it came to when it was cut short. `utc_offset_minutes` is the offset
    from UTC of the zone that clock runs in. Both are needed to lose nothing when daylight saving ends (see
    lookback.py). `cursor_column` tells a bookmark of another column apart. `unfinished` is where a run was cut short
    whose source can go on from there: (the upper end of its window, the cursor it came to, and the key, where it was
    within the rows of one cursor). `fingerprint` is the full sync's: of another table or key it cannot go on. `low` is
    where the run that wrote this began to read, and `rows` how many went to the target in its batch files, None where
    they went as records, which may be filtered on the way: a target that has lost some of them tells by these.
    """

    cursor: KeyValue
    clock: KeyValue | None = None
    utc_offset_minutes: int = 0
    started_at: str | None = None
    cursor_column: str | None = None
    unfinished: tuple[KeyValue, KeyValue, Key | None] | None = None
    fingerprint: str | None = None
    low: KeyValue | None = None
    rows: int | None = None

    def to_state(self) -> dict[str, Any]:
        """Every field, always."""
        return {"mode": "incremental", **asdict(self)}

    @classmethod
    def from_state(cls, saved: Mapping[str, Any] | None) -> IncrementalBookmark | None:
        """The bookmark in a saved state, or None where there is none of an incremental sync."""
        if not saved or saved.get("mode") != "incremental" or saved.get("cursor") is None:
            return None
        return _read(cls, _known(cls, saved))


def taken_back(saved: object, began: str, low: KeyValue) -> dict[str, Any] | None:
    """An incremental sync's saved bookmark as that of a run which began then and has read nothing: the next run begins
    at `low` less the lookback. None for any other value."""
    bookmark = IncrementalBookmark.from_state(saved) if isinstance(saved, Mapping) else None
    if bookmark is None:
        return None
    return replace(bookmark, clock=low, low=low, rows=None, started_at=began, unfinished=None).to_state()
