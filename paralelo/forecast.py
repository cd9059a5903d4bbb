"""Whether a sync can go on, and what would happen if it were started now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paralelo.progress import Progress
from paralelo.project import Mode


@dataclass(frozen=True)
class Forecast:
    """`state` in a word, whether a run would resume, and what it would do."""

    state: str
    can_resume: bool
    would: str


def forecast(mode: Mode, bookmark: Mapping[str, Any] | None, found: Progress | None, running: str = "") -> Forecast:
    """From the bookmark that Meltano saved and the ledger's newest sync. `running` says who runs it now, if anyone."""
    if running:
        return Forecast("running", True, f"be refused: {running}")
    return _full(bookmark, found) if mode == "full" else _incremental(bookmark)


def _full(bookmark: Mapping[str, Any] | None, found: Progress | None) -> Forecast:
    staged = found is not None and found.status == "staging"
    if not bookmark or bookmark.get("mode") != "full":
        if staged and found is not None and found.committed:
            return Forecast("lost state", False, "begin a new version; the staged rows of the old one are dropped")
        return Forecast("no state", False, "begin a full sync from the highest key")
    if bookmark.get("done"):
        return Forecast("finished", False, "begin a new full sync; the live table stays until that is whole")
    if not bookmark.get("last_key"):
        return Forecast("begun", True, "resume before its first page")
    if not staged or found is None:
        return Forecast("lost staging", False, "begin a new version: the ledger has nothing of the saved one")
    if found.version != bookmark.get("version"):
        return Forecast("mismatch", False, "begin a new version: state and ledger belong to different ones")
    if found.prepared:
        return Forecast("activating", True, f"find all {found.committed:,} rows staged, and activate them")
    return Forecast(
        "partial", True, f"resume below key {key_text(bookmark['last_key'])}, {found.committed:,} rows staged"
    )


def _incremental(bookmark: Mapping[str, Any] | None) -> Forecast:
    cursor = (bookmark or {}).get("cursor")
    if not cursor:
        return Forecast(
            "no state", False, "begin where the last full sync began, else at start_date or now, less the lookback"
        )
    return Forecast("current", True, f"read what changed since {cursor}, less the lookback")


def key_text(values: object) -> str:
    """A key of one or of several columns, as people read it."""
    return ", ".join(str(value) for value in values) if isinstance(values, list) else str(values)
