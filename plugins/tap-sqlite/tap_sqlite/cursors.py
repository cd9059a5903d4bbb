"""What an incremental sync goes by: text times, numbers that count time, or plain counters.

SQLite has no type for time. Text times must be of one style throughout, for text is compared as text; reals are
compared by their microseconds, as integers, since a bookmark must be exact.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from sync_rules.batch_info import KeyValue
from sync_rules.exits import ConfigurationError
from sync_rules.incremental import Clock

from tap_sqlite.catalog import TableDescription, source, source_name
from tap_sqlite.database import Database
from tap_sqlite.declared import BIGINT, DOUBLE, TEXT, TableColumn

UNITS = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000}
"""Ticks a second of a numeric cursor; `counter` has none."""

_WITH_ZONE = ("*Z", "*[+-][0-9][0-9]:[0-9][0-9]", "*[+-][0-9][0-9][0-9][0-9]")

_STYLE = re.compile(r"\d{4}-\d{2}-\d{2}(?:([ T])\d{2}:\d{2}(:\d{2})?(\.\d+)?(Z|[+-]\d{2}:?\d{2})?)?")


@dataclass(frozen=True)
class Cursor:
    """A cursor column. `expression` is compared, `condition` says which rows have one at all.

    `width` is how much every text of its style has: the day, the minute or the second.
    """

    column: TableColumn
    expression: str
    condition: str
    separator: str = " "
    zone: str = ""
    ticks: int | None = None
    is_text: bool = True
    local: bool = False
    width: int = 19

    @property
    def counts(self) -> bool:
        """Whether it is a plain counter, no time."""
        return not self.is_text and self.ticks is None

    def start(self, value: KeyValue, lookback_minutes: int) -> KeyValue:
        """Where to read from. Numbers get their lookback here: the rules have none for them.

        A text is cut to what every time of the column's style has, a date to its day: as text, a shorter one of the
        same moment or day is below a longer one, and a fraction of a second is below a zone.
        """
        if isinstance(value, int):
            return value - (lookback_minutes * 60 * self.ticks if self.ticks else 0)
        return value.replace("T", self.separator)[: self.width]

    def end(self, value: KeyValue) -> KeyValue:
        """Where to read to: of a text, all of that second, minute or day."""
        return value if isinstance(value, int) else f"{self.start(value, 0)}~"

    def bound(self, value: KeyValue) -> KeyValue:
        """A rule's value in the column's spelling."""
        if isinstance(value, int):
            return value
        text = re.sub(r"(Z|[+-]\d{2}:?\d{2})$", "", value) if len(value) > 10 else value
        return text.replace("T", self.separator) + (self.zone if len(text) > 10 else "")

    def told(self, value: Any) -> KeyValue:
        """A value of the column as the rules take it."""
        return value if isinstance(value, int) else str(value).replace(" ", "T", 1)

    def clock(self, database: Database, table: TableDescription) -> Clock:
        """Now, by this machine: whoever writes the file does it on a machine with its clock."""
        now = datetime.now(tz=timezone.utc)
        started = now.isoformat(timespec="milliseconds")
        if self.counts:
            sql = f"SELECT max({self.expression}) FROM {source(table)} WHERE {self.condition}"  # noqa: S608 - quoted
            highest = database.value(sql)
            return Clock(highest if highest is not None else 0, 0, started, may_fall=True)
        if not self.is_text:
            return Clock(int(now.timestamp() * (self.ticks or 1)), 0, started)
        here = now.astimezone() if self.local else now
        offset = here.utcoffset() or timedelta(0)
        return Clock(
            here.replace(tzinfo=None).isoformat(timespec="microseconds"), int(offset.total_seconds() // 60), started
        )


def cursor_of(column: TableColumn, table: TableDescription, database: Database, config: Any) -> Cursor:
    """How this column can be gone by. Raises ConfigurationError for a type that cannot."""
    spelled = source_name(table, column)
    unit = config.get("cursor_unit") or "counter"
    if column.type == BIGINT:
        return Cursor(column, spelled, f"typeof({spelled}) = 'integer'", ticks=UNITS.get(unit), is_text=False)
    if column.type == DOUBLE:
        if unit not in UNITS:
            raise ConfigurationError(f"{table.name}: {column.name} holds reals: say what they count by cursor_unit")
        ticks = UNITS[unit]
        # Microseconds of the real's unit: an integer, so that the end of a page is exact.
        expression = f"CAST(round({spelled} * {1_000_000 // ticks}.0) AS INTEGER)"
        condition = f"typeof({spelled}) IN ('real', 'integer')"
        return Cursor(column, expression, condition, ticks=1_000_000, is_text=False)
    if column.type != TEXT:
        raise ConfigurationError(f"{table.name}: {column.name} cannot be a cursor: it holds {column.type}")
    example = database.value(f"SELECT max({spelled}) FROM {source(table)} WHERE typeof({spelled}) = 'text'")  # noqa: S608
    match = _STYLE.fullmatch(example or "")
    if example is not None and match is None:
        raise ConfigurationError(
            f"{table.name}: {column.name} cannot be a cursor: its highest text is no ISO 8601 time"
        )
    separator = (match and match[1]) or " "
    zone = (match and match[4]) or ""
    if zone not in ("", "Z", "+00:00", "+0000"):
        raise ConfigurationError(
            f"{table.name}: {column.name} cannot be a cursor: its times have an offset other than UTC"
        )
    glob = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]" + (f"{separator}*{zone}" if match and match[1] else "*")
    condition = f"(typeof({spelled}) = 'text' AND {spelled} GLOB '{glob}'"
    if not zone:
        # They would be compared as if they were of this clock.
        condition += "".join(f" AND {spelled} NOT GLOB '{other}'" for other in _WITH_ZONE)
    width = 19 if match is None or match[2] else 16 if match[1] else 10
    condition += f" AND {_is_moment(spelled, width, zone)})"
    local = config.get("cursor_clock") == "local" and not zone
    return Cursor(column, spelled, condition, separator, zone, local=local, width=width)


def _is_moment(spelled: str, width: int, zone: str) -> str:
    """Whether a text of the style is a moment: a bookmark at the 31st of June, or at 24:00, could not be gone on from.

    SQLite takes both, and makes the next day of them. Behind the second only its fraction and the zone may stand.
    """
    rest = f"replace(substr({spelled}, {width + 1}), '{zone}', '')"
    return (
        f"{spelled} >= '0001' AND substr({spelled}, 12, 2) < '24'"
        f" AND strftime('%Y-%m-%d', substr({spelled}, 1, {width})) = substr({spelled}, 1, 10)"
        f" AND ({rest} = '' OR {rest} GLOB '.[0-9]*' AND rtrim({rest}, '0123456789') = '.')"
    )
