"""tap-sqlite's settings."""

from __future__ import annotations

from singer_sdk import typing as th
from sync_rules.singer.settings import PAGING, integer

SETTINGS = th.PropertiesList(
    th.Property("path", th.StringType, required=True, title="File", description="The SQLite file."),
    th.Property(
        "tables",
        th.ArrayType(th.StringType),
        title="Tables",
        description="Tables (or views) to read. Default: every table; see `include_views`.",
    ),
    th.Property(
        "table_prefix",
        th.StringType,
        default="",
        title="Table prefix",
        description="Put before each table's name in its stream's name, so that several files can go to one schema.",
    ),
    th.Property(
        "include_views",
        th.BooleanType,
        default=False,
        title="Views",
        description="Whether discovery lists views too. A view has no key: it is read in one pass.",
    ),
    th.Property(
        "key_columns",
        th.ArrayType(th.StringType),
        title="Key",
        description="The unique key. `rowid` is the hidden row number, copied as `_rowid`. Default: INTEGER PRIMARY"
        " KEY, else the declared primary key, else `rowid`. `[]` is none: the table is read in one pass.",
    ),
    th.Property("cursor_column", th.StringType, title="Cursor", description="The column that says when a row changed."),
    th.Property(
        "cursor_unit",
        th.StringType(allowed_values=["counter", "seconds", "milliseconds", "microseconds"]),
        title="Unit of a numeric cursor",
        description="What a numeric cursor counts since 1970; `counter` (default for integers) has no lookback.",
    ),
    th.Property(
        "cursor_clock",
        th.StringType(allowed_values=["utc", "local"]),
        default="utc",
        title="Clock of a text cursor",
        description="Which zone text times without an offset are in: `utc`, or this machine's (`local`).",
    ),
    th.Property(
        "off_type_values",
        th.StringType(allowed_values=["reject", "json"]),
        default="reject",
        title="Values not of their column's type",
        description="`reject` their rows, or read such a column as `json`, in which each value says what it is.",
    ),
    th.Property(
        "column_types",
        th.ObjectType(additional_properties=th.StringType),
        title="Column types",
        description="Types by column name (`created_at: text`), for columns whose declaration leaves it open: without"
        " it the tap looks at every row first. One of bigint, double precision, text, varbinary, boolean, json.",
    ),
    th.Property(
        "max_rejects",
        integer(0, 2**53),
        default=0,
        title="Greatest number of rejects",
        description="Rows that may be left out; with more than this the sync ends with exit code 8.",
    ),
    th.Property(
        "reject_file",
        th.StringType,
        title="Reject file",
        description="Rejected rows are added to it, one JSON object a line: table, key, column, what is stored.",
    ),
    th.Property(
        "immutable",
        th.BooleanType,
        default=False,
        title="Immutable",
        description="Promise that nobody writes to the file: no locks are taken. Refused beside a WAL or a journal.",
    ),
    th.Property(
        "busy_timeout_seconds",
        integer(0, 3600),
        default=60,
        title="Busy time-out",
        description="How long to wait for another process to let go of the file.",
    ),
    *PAGING,
).to_dict()
