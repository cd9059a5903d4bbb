"""What a comparison found, as values: what the terminal, the JSON file and the HTML file show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any, Literal

from paralelo.verify.tally import Difference

Check = Literal["quick", "deep", "sample"]
Verdict = Literal["equal", "different", "could not compare"]

FORMAT_VERSION = 1


class ExitCode(IntEnum):
    """How `verify` ends."""

    EQUAL = 0
    DIFFERENT = 1
    COULD_NOT_COMPARE = 2


@dataclass(frozen=True)
class Bucket:
    """A part of the key space: where it begins and ends, its rows on both sides, and where differences lie."""

    first: str
    last: str
    source: int
    target: int
    missing: int = 0
    extra: int = 0
    different: int = 0
    suspect: bool = False

    @property
    def differences(self) -> int:
        """Rows of every kind of difference."""
        return self.missing + self.extra + self.different


@dataclass(frozen=True)
class TableReport:
    """One table's comparison.

    `source_rows` and `target_rows` are the rows compared; `unsettled` counts rows that changed too recently to be
    judged. `columns` says in how many different rows each column differs, `unseen` what this kind of check cannot see.
    `error_code` is what a sync would end with for the error (see docs/protocol.md). Values are masked unless
    `values_shown`. `copied_again` and `deleted` are what `--fix` did before this comparison.
    """

    table: str
    target: str
    check: Check
    verdict: Verdict
    key: tuple[str, ...] = ()
    compared_columns: int = 0
    source_rows: int = 0
    target_rows: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    unsettled: int = 0
    copied_again: int = 0
    deleted: int = 0
    columns: Mapping[str, int] | None = None
    differences: tuple[Difference, ...] = ()
    buckets: tuple[Bucket, ...] = ()
    absent_columns: tuple[str, ...] = ()
    incomparable_columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    error: str | None = None
    error_code: int = 0
    since: str | None = None
    values_shown: bool = False
    seconds: float = 0.0

    @property
    def rows_per_second(self) -> float:
        """Rows of the larger side by the time taken."""
        return max(self.source_rows, self.target_rows) / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Report:
    """All tables of one run. `started_at` is UTC; `peak_bytes` the most memory that this process held."""

    tables: tuple[TableReport, ...]
    started_at: str
    seconds: float
    peak_bytes: int

    @property
    def exit_code(self) -> ExitCode:
        """A proven difference counts for more than a table that could not be compared."""
        verdicts = {table.verdict for table in self.tables}
        if "different" in verdicts:
            return ExitCode.DIFFERENT
        if "could not compare" in verdicts or not verdicts:
            return ExitCode.COULD_NOT_COMPARE
        return ExitCode.EQUAL


def to_json(report: Report) -> dict[str, Any]:
    """The report as plain values. Fields are added in later versions, never renamed."""
    return {"format": FORMAT_VERSION, "exit_code": int(report.exit_code), **asdict(report)}


def verdict_of(
    counts: Iterable[int], absent: tuple[str, ...], incomparable: tuple[str, ...], unproven: str | None = None
) -> Verdict:
    """A column that the target lacks is a difference; one that cannot be compared leaves the table unproven."""
    if any(counts) or absent:
        return "different"
    return "could not compare" if incomparable or unproven else "equal"
