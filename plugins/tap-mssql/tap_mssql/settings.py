"""The tap's settings, from which `--about` makes the README's table."""

from __future__ import annotations

from typing import Any

from singer_sdk import typing as th
from sync_rules.singer.settings import PAGING, integer

_CONNECTION: tuple[th.Property[Any], ...] = (
    th.Property("host", th.StringType, title="Host", description="Name or address of the server."),
    th.Property("port", integer(1, 65_535), default=1433, title="Port", description="TCP port of the server."),
    th.Property("user", th.StringType, title="User", description="SQL login."),
    th.Property("password", th.StringType, secret=True, title="Password", description="The login's password."),
    th.Property("database", th.StringType, title="Database", description="Database to read."),
    th.Property(
        "encrypt",
        th.StringType(allowed_values=["yes", "no", "strict"]),
        default="yes",
        title="Encrypt",
        description="`yes` (TLS), `no`, or `strict` (TDS 8).",
    ),
    th.Property(
        "trust_server_certificate",
        th.BooleanType,
        default=False,
        title="Trust the certificate",
        description="Accept a certificate that no known authority signed.",
    ),
    th.Property(
        "driver",
        th.StringType(allowed_values=["msodbcsql", "mssql-python", "mssql-odbc", "pyodbc"]),
        default="msodbcsql",
        title="Driver",
        description="`msodbcsql` (Microsoft's ODBC Driver 18 itself, the fastest that is proven), `mssql-python` (the "
        "same driver through Microsoft's Python layer), `mssql-odbc` (that layer with Microsoft's new driver, by its "
        "own word an alpha version) or `pyodbc`, for an ODBC driver or data source of your own.",
    ),
    th.Property(
        "odbc_driver", th.StringType, title="ODBC driver", description="With pyodbc: the driver's name or its file."
    ),
    th.Property("dsn", th.StringType, title="Data source", description="With pyodbc: an ODBC data source."),
    th.Property(
        "connect_timeout_seconds",
        integer(1, 3_600),
        default=300,
        title="Connect time-out",
        description="Most seconds to wait for a connection.",
    ),
    th.Property(
        "application_name",
        th.StringType,
        default="paralelo",
        title="Application name",
        description="What the server's session list shows; mssql-python shows its own name always.",
    ),
    th.Property(
        "packet_size",
        integer(512, 32_767),
        title="Packet size",
        description="TDS packet size in bytes: 16,383 at most with TLS. Default: the driver's.",
    ),
)
_TABLES: tuple[th.Property[Any], ...] = (
    th.Property(
        "schemas", th.ArrayType(th.StringType), title="Schemas", description="Schemas to discover. Default: all."
    ),
    th.Property(
        "tables",
        th.ArrayType(th.StringType),
        title="Tables",
        description="Tables to discover, as `schema.table`. Default: all.",
    ),
    th.Property(
        "key_columns",
        th.ArrayType(th.StringType),
        title="Key columns",
        description="The unique ordering key; `[]` for none. Default: the primary key, else a unique NOT NULL index,"
        " else `id`.",
    ),
    th.Property(
        "cursor_column",
        th.StringType,
        title="Cursor column",
        description="The modification timestamp (or rowversion). Default: `mod_ts` where the table has it.",
    ),
    th.Property(
        "cursor_clock",
        th.StringType(allowed_values=["local", "utc"]),
        default="local",
        title="Cursor clock",
        description="Which clock stamps a cursor without a zone: `local` (GETDATE, SYSDATETIME) or `utc`.",
    ),
    th.Property(
        "fetch_size",
        integer(1, 100_000),
        default=8_192,
        title="Fetch size",
        description="Rows a fetch; fewer are taken by themselves where large values would not fit the memory.",
    ),
    th.Property(
        "max_parallelism",
        integer(1, 32),
        default=4,
        title="Parallel readers",
        description="Most ranges of a full sync read at once, each over a connection of its own, where the key is one"
        " indexed whole number; a server that answers within 5 ms is read by as many as there are processors, at least"
        " two. 1 reads page after page.",
    ),
    th.Property(
        "isolation",
        th.StringType(allowed_values=["read_committed", "snapshot", "auto"]),
        default="read_committed",
        title="Isolation",
        description="`auto` takes snapshot where the database allows it. Never NOLOCK: it skips and doubles rows.",
    ),
)

SETTINGS: dict[str, Any] = th.PropertiesList(*_CONNECTION, *_TABLES, *PAGING).to_dict()
