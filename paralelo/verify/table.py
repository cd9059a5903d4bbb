"""One table, compared from beginning to end."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from sync_rules.exits import ConfigurationError, SyncError
from sync_rules.lookback import moment_of
from tap_mssql.errors import QueryRefused

from paralelo.verify import deep, oracle_wms, quick, sampling
from paralelo.verify.columns import TablePair
from paralelo.verify.deep import Sides
from paralelo.verify.measures import UNSEEN
from paralelo.verify.pairing import Paired, Wanted, names_of, pair, settle_nullability
from paralelo.verify.postgres import Postgres
from paralelo.verify.rendering import masked, shown_key
from paralelo.verify.report import Bucket, Check, TableReport, verdict_of
from paralelo.verify.segments import KeyRange, TableSegment, label, position, within_years
from paralelo.verify.sides import Bounds, Side, Source
from paralelo.verify.tally import Difference, Tally

DEFAULT_SETTLE_SECONDS = 1800.0
"""The lookback of incremental syncs: a row younger than it may not have been copied yet."""

_MOST_SECONDS = 1_000_000_000
"""Thirty years: what is longer leaves no date to judge by."""

_UNSETTLED_SHARE = 0.05
_UNSETTLED_ROWS = 20
"""A table in use always has a few rows on their way. Up to this share of its rows, of a small table this many but no
more than half, may be left unjudged where everything else is equal."""

_MAP_BUCKETS = 96


@dataclass(frozen=True)
class Options:
    """How to compare.

    `check` is quick or deep; `sample` compares about so many rows, deep, in windows of the key picked at random with
    `seed`. `since` selects rows by their cursor (ISO 8601, in the cursor's own terms). Rows whose cursor is younger
    than `settle_seconds`, or not older than `settled_at` where that is given, and differs from the target's are looked
    at again after `settle_wait_seconds`, and left unjudged if they still differ. With `ignore_extra`, rows that only
    the target has are counted and told and do not make the table different: a full sync's staging table may hold rows
    that were deleted at the source after they were read. `keep` is how many differences of each kind are told one by
    one.
    """

    check: Check = "quick"
    sample: int | None = None
    seed: int | None = None
    since: str | None = None
    settle_seconds: float = DEFAULT_SETTLE_SECONDS
    settled_at: str | None = None
    settle_wait_seconds: float = 0.0
    ignore_extra: bool = False
    cursor_clock: str = "local"
    keep: int = 100
    parallel: int = 2
    show_values: bool = False

    def __post_init__(self) -> None:
        for name, text in (("since", self.since), ("settled_at", self.settled_at)):
            if text is not None:
                _moment(name, text)
        for option, seconds in (("--settle", self.settle_seconds), ("--settle-wait", self.settle_wait_seconds)):
            # Written so that what is no number (nan) is refused too.
            if not 0 <= seconds <= _MOST_SECONDS:
                raise ConfigurationError(f"{option} is 0 seconds or more, and {_MOST_SECONDS:,} at most")


OnFound = Callable[[Paired, Tally], None]


def verify_table(
    source: Source,
    target: Postgres,
    wanted: Wanted,
    options: Options,
    on_found: OnFound = lambda _pair, _tally: None,
) -> TableReport:
    """Compare one table. Never raises for what concerns the table: that becomes a report that says so.

    `on_found` is given what was found, keys and all, before it is turned into a report.
    """
    started = time.monotonic()
    check: Check = "sample" if options.sample else options.check
    try:
        report = _compare(source, target, wanted, options, check, on_found)
    except SyncError as error:
        report = cannot_compare(wanted, options, error)
    except OSError as error:
        # The temporary folder is full, or was taken away.
        place = f"{error.filename}: " if error.filename else ""
        report = cannot_compare(wanted, options, SyncError(f"{wanted.source}: {place}{error.strerror or error}"))
    except Exception as error:
        report = cannot_compare(wanted, options, unforeseen(wanted.source, error))
    return replace(report, seconds=time.monotonic() - started)


def unforeseen(what: str, error: Exception) -> SyncError:
    """An error of the program's own: where it arose, and not what it says, which may be a row's values."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" ({Path(frame.filename).name}, line {frame.lineno})" for frame in last)
    return SyncError(f"{what}: the comparison met an error that it does not know: {type(error).__name__}{place}")


def cannot_compare(wanted: Wanted, options: Options, error: SyncError) -> TableReport:
    """The report of a table of which nothing could be told."""
    return TableReport(
        table=wanted.source,
        target=f"{wanted.target_schema}.{wanted.target_table}",
        check="sample" if options.sample else options.check,
        verdict="could not compare",
        error=str(error),
        error_code=int(error.exit),
        since=options.since,
    )


def _moment(name: str, text: str) -> datetime:
    """The time in UTC or, where it has no offset, as it stands; SQL Server's seventh digit is cut off."""
    try:
        moment = moment_of(text)
    except ValueError as error:
        raise ConfigurationError(f"{name} is no ISO 8601 time: {text!r}") from error
    return moment if moment.tzinfo is None else moment.astimezone(timezone.utc)


def _since(table: TablePair, options: Options) -> str | None:
    """The time as both servers read it: one spelling, and only where it means the same to both."""
    if options.since is None:
        return None
    if table.cursor is None:
        raise ConfigurationError(f"{table.name}: since needs a cursor column, and the table has none")
    name, family = table.cursor.source, table.cursor.family
    if family not in ("timestamp", "instant", "date"):
        raise ConfigurationError(
            f"{table.name}: since needs a cursor that is a time; {name} is {table.cursor.declared}"
        )
    moment = _moment("since", options.since)
    if family == "instant":
        return moment.replace(tzinfo=timezone.utc).isoformat()
    if moment.tzinfo is not None:
        raise ConfigurationError(
            f"{table.name}: {name} has no offset from UTC: give since without one, as {name} has it"
        )
    return moment.isoformat()


def describe_pair(source: Source, target: Postgres, wanted: Wanted) -> Paired:
    """Both sides' columns, paired. Raises a SyncError where a side has no such table."""
    described = source.named(wanted.source)
    paired = pair(wanted, described, target.describe(wanted.target_schema, wanted.target_table))
    source.check(paired.table)
    settled = settle_nullability(
        paired.table,
        lambda column: source.holds_null(paired.table, column) or target.holds_null(paired.table, column),
    )
    return replace(paired, table=settled)


@dataclass(frozen=True)
class _Reading:
    """What is read cell by cell: these segments, of about so many rows. `cuts` divide the map of the key space.

    Of a quick check `first` are the ranges of the whole table, as they were measured, and `leaves` those that differ.
    """

    segments: Sequence[TableSegment]
    rows: int
    cuts: Sequence[int]
    first: Sequence[quick.Range] = ()
    leaves: Sequence[quick.Range] = ()

    @property
    def surveyed(self) -> bool:
        """Whether the table was measured: one without rows is one range, too."""
        return bool(self.first)

    def counts(self, tally: Tally) -> tuple[int, int]:
        """The rows compared, at the source and in the target: those measured, else those read."""
        if self.surveyed:
            return sum(found.source_rows for found in self.first), sum(found.target_rows for found in self.first)
        return tally.rows["source"], tally.rows["target"]


def _compare(
    source: Source, target: Postgres, wanted: Wanted, options: Options, check: Check, on_found: OnFound
) -> TableReport:
    paired = describe_pair(source, target, wanted)
    table, notes = paired.table, list(paired.notes)
    if check == "quick" and not source.adds_up:
        table = replace(table, columns=tuple(one for one in table.columns if one in (*table.key, table.cursor)))
    sides = Sides(source, target, _since(table, options))
    settled = _settled(source, table, options)
    # The count is for laying rows out on disk, and for a sample; the rest gets by without another reading of the table.
    counted = check == "sample" or not table.ordered
    bounds = _both(table, source.bounds(table, counted=counted), target.bounds(table, counted=counted))
    whole = TableSegment(table, KeyRange(), bounds.least, bounds.most)
    parallel = max(options.parallel, source.parallel)
    reading = _Reading(whole.split(parallel), bounds.rows, whole.cuts(_MAP_BUCKETS))
    if check == "sample":
        reading = replace(reading, segments=_sample(source, target, whole, bounds, options), rows=options.sample or 0)
    elif check == "quick" and source.adds_up:
        try:
            reading = _survey(sides, whole, parallel)
        except QueryRefused as refused:  # a server that lacks a function, a sum that is too large for it
            check = "deep"
            notes.append(f"every cell was compared, for the source does not add up: {refused}")
    tally = Tally(table, cuts=reading.cuts, settled=settled, keep=options.keep)
    deep.compare_segments(sides, reading.segments, tally, parallel=parallel, rows=reading.rows)
    if tally.pending:
        when = f"since {options.settled_at}" if options.settled_at else f"within {options.settle_seconds:g} s"
        notes.append(f"rows that had changed {when}, and were looked at again: {tally.pending_rows:,}")
        time.sleep(options.settle_wait_seconds)
        deep.look_again(sides, tally, lambda: _now(source))
    on_found(paired, tally)
    notes += _about_quick(reading.leaves, tally)
    unproven = _unproven(tally, reading.counts(tally), bounds.rows if check == "sample" else 0, options)
    return _report(replace(paired, table=table, notes=tuple(notes)), whole, reading, tally, options, check, unproven)


def _survey(sides: Sides, whole: TableSegment, parallel: int) -> _Reading:
    """All of the table measured; only what differs is to be read."""
    first, leaves = quick.survey(sides, whole, parallel=parallel)
    cuts = [found.segment.range.lower or 0 for found in first[1:]]
    return _Reading([found.segment for found in leaves], sum(found.rows for found in leaves), cuts, first, leaves)


def _sample(
    source: Source, target: Postgres, whole: TableSegment, bounds: Bounds, options: Options
) -> list[TableSegment]:
    asked = (source, target) if source.adds_up else (target,)
    return sampling.windows(whole, bounds, options.sample or 0, options.seed, lambda place: _next(asked, whole, place))


def _report(
    paired: Paired,
    whole: TableSegment,
    reading: _Reading,
    tally: Tally,
    options: Options,
    check: Check,
    unproven: str | None,
) -> TableReport:
    table = paired.table
    verdict = verdict_of(
        [count for kind, count in tally.counts.items() if kind != "extra" or not options.ignore_extra],
        paired.absent,
        paired.incomparable,
        unproven,
    )
    source_rows, target_rows = reading.counts(tally)
    return TableReport(
        table=table.name,
        target=f"{table.target_schema}.{table.target_table}",
        check=check,
        verdict=verdict,
        error=unproven and f"{table.name}: {unproven}" if verdict == "could not compare" else None,
        key=names_of(table.key),
        compared_columns=len(table.columns),
        source_rows=source_rows,
        target_rows=target_rows,
        missing=tally.counts["missing"],
        extra=tally.counts["extra"],
        different=tally.counts["different"],
        unsettled=tally.unsettled,
        columns=dict(tally.columns.most_common()),
        differences=tuple(_shown(table, one, options.show_values) for one in _in_order(tally.differences)),
        buckets=_buckets(whole, reading.cuts, tally, reading.first),
        absent_columns=paired.absent,
        incomparable_columns=paired.incomparable,
        notes=paired.notes,
        unseen=() if check != "quick" else UNSEEN if reading.surveyed else oracle_wms.UNSEEN,
        since=options.since,
        values_shown=options.show_values,
    )


def _settled(source: Source, table: TablePair, options: Options) -> int | None:
    """The youngest cursor that is judged, by the source's clock; None where the cursor is no time."""
    if table.cursor is None or table.cursor.family not in ("timestamp", "instant"):
        return None
    if options.settled_at is not None:
        return position(_moment("settled_at", options.settled_at)) - 1
    if not options.settle_seconds:
        return None
    zone = "utc" if table.cursor.family == "instant" else options.cursor_clock
    return position(moment_of(source.clock(zone)) - timedelta(seconds=options.settle_seconds))


def _now(source: Source) -> int:
    """The source's time now. Which of its clocks stamps the cursor may have been left unsaid: the later one."""
    return max(position(moment_of(source.clock(zone))) for zone in ("local", "utc"))


def _few_unsettled(tally: Tally, rows: int) -> bool:
    """Whether no more rows are left unjudged than a table in use may have."""
    return tally.unsettled <= max(int(rows * _UNSETTLED_SHARE), min(rows // 2, _UNSETTLED_ROWS))


def _unproven(tally: Tally, counts: tuple[int, int], there: int, options: Options) -> str | None:
    """Why tables without a difference are not proven equal: too little of them was judged. `there` are the rows that
    a sample was taken of."""
    rows = max(counts)
    if there and not rows:
        return f"none of its {there:,} rows was read: take a larger sample"
    # What changed since a full sync began is the next incremental's, however much of the rows that it staged.
    if (options.settled_at is not None and counts[1] > 0) or _few_unsettled(tally, rows):
        return None
    return (
        f"{tally.unsettled:,} of {rows:,} rows changed too recently to be judged: compare again after the next sync, or"
        " when the table is quieter"
    )


def _both(table: TablePair, source: Bounds, target: Bounds) -> Bounds:
    least = [within_years(table.axis, end) for end in (source.least, target.least) if end is not None]
    most = [within_years(table.axis, end) for end in (source.most, target.most) if end is not None]
    return Bounds(max(source.rows, target.rows), min(least, default=None), max(most, default=None))


def _next(sides: Sequence[Side], whole: TableSegment, place: int) -> int | None:
    """The lowest place on the axis that has a row on any of the sides, from a place on."""
    table, segment = whole.table, whole.within(place, None)
    found = [side.bounds(table, counted=False, segment=segment).least for side in sides]
    return min((within_years(table.axis, one) for one in found if one is not None), default=None)


def _unlike(leaves: Sequence[quick.Range]) -> list[str]:
    names: list[str] = []
    for found in leaves:
        names += [name for name in found.differing() if name not in names]
    return [f"measures that differ: {', '.join(names[:12])}{' …' if len(names) > 12 else ''}"] if names else []


def _about_quick(leaves: Sequence[quick.Range], tally: Tally) -> list[str]:
    """Ranges that only measured differently: said, since they cost time and may hint at something."""
    if not leaves or any(tally.counts.values()) or tally.unsettled or tally.pending_rows:
        return []
    return [
        f"{len(leaves)} key ranges measured differently and were equal cell by cell: the table changed meanwhile,"
        " or NUL characters were replaced",
        *_unlike(leaves),
    ]


def _in_order(differences: Sequence[Difference]) -> list[Difference]:
    """By kind, then in the order of the key, numbers as numbers."""

    def order(found: Difference) -> tuple[str, list[tuple[bool, int, str]]]:
        return found.kind, [(text is None, _whole(text), text or "") for text in found.key]

    return sorted(differences, key=order)


def _whole(text: str | None) -> int:
    try:
        return int(text or 0)
    except ValueError:
        return 0


def _shown(table: TablePair, found: Difference, show: bool) -> Difference:
    """The difference as a report has it: its values masked, unless they are to be shown."""
    if show:
        return found
    by_name = {column.target: column for column in table.columns}
    return replace(
        found,
        key=tuple(shown_key(column, text) for column, text in zip(table.key, found.key, strict=True)),
        cells=tuple(
            replace(
                cell,
                source=masked(by_name[cell.column], cell.source),
                target=masked(by_name[cell.column], cell.target),
            )
            for cell in found.cells
        ),
    )


def _buckets(
    whole: TableSegment, cuts: Sequence[int], tally: Tally, first: Sequence[quick.Range]
) -> tuple[Bucket, ...]:
    """The map of the key space. A quick check's rows are those it measured, the others' those they read."""
    axis = whole.table.axis
    if axis is None or whole.least is None or whole.most is None:
        return ()
    edges = [whole.least, *cuts, whole.most + 1]
    layers = {name: [int(count) for count in counts] for name, counts in tally.by_bucket.items()}
    if first:
        layers["source"] = [found.source_rows for found in first]
        layers["target"] = [found.target_rows for found in first]
    return tuple(
        Bucket(
            first=label(axis, edges[place]),
            last=label(axis, edges[place + 1] - 1),
            source=layers["source"][place],
            target=layers["target"][place],
            missing=layers["missing"][place],
            extra=layers["extra"][place],
            different=layers["different"][place],
            suspect=bool(first) and not first[place].same,
        )
        for place in range(len(edges) - 1)
    )
