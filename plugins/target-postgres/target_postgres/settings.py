"""The target's settings, and a table's own load rules over them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, cast

from singer_sdk import typing as th
from sync_rules.exits import ConfigurationError

from target_postgres.names import fold

Activation = Literal["auto", "swap", "merge"]
StaleRows = Literal["delete", "flag", "keep"]
NulCharacters = Literal["replace", "strip", "reject"]
Verification = Literal["off", "quick", "deep"]

ACTIVATIONS = ("auto", "swap", "merge")
STALE_ROWS = ("delete", "flag", "keep")
VERIFICATIONS = ("off", "quick", "deep")
NUL_CHARACTERS = ("replace", "strip", "reject")
SSL_MODES = ("auto", "disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SYMBOL_FOR_NULL = "\u2400"


def _whole(minimum: int, maximum: int | None = None) -> type[th.IntegerType] | th.IntegerType:
    return th.IntegerType(minimum=minimum, maximum=maximum)


CONFIG_SCHEMA = th.PropertiesList(
    th.Property(
        "host", th.StringType, required=True, title="Host", description="Server name, address or socket folder."
    ),
    th.Property("port", _whole(1, 65535), default=5432, title="Port", description="The server's TCP port."),
    th.Property("user", th.StringType, required=True, title="User", description="The role to log in as."),
    th.Property("password", th.StringType, secret=True, title="Password", description="The role's password."),
    th.Property("database", th.StringType, required=True, title="Database", description="The database to load into."),
    th.Property(
        "ssl_mode",
        th.StringType(allowed_values=list(SSL_MODES)),
        default="auto",
        title="TLS mode",
        description="`auto` requires TLS to any other machine and prefers it to this one. The rest is libpq's"
        " `sslmode`; `verify-full` also proves who the server is, and wants `ssl_root_cert` (or `system`).",
    ),
    th.Property(
        "ssl_root_cert",
        th.StringType,
        title="Root certificate",
        description="File of trusted authorities, or `system`.",
    ),
    th.Property("ssl_cert", th.StringType, title="Client certificate", description="File of the client's certificate."),
    th.Property("ssl_key", th.StringType, title="Client key", description="File of the client certificate's key."),
    th.Property(
        "connect_timeout_seconds",
        _whole(1),
        default=300,
        title="Connect timeout",
        description="Longest wait to connect.",
    ),
    th.Property(
        "application_name",
        th.StringType,
        default="paralelo",
        title="Application name",
        description="How connections begin to name themselves in `pg_stat_activity`; mode and table follow.",
    ),
    th.Property(
        "default_target_schema",
        th.StringType,
        default="public",
        title="Target schema",
        description="The schema tables are written to; created when it is missing.",
    ),
    th.Property(
        "activation",
        th.StringType(allowed_values=list(ACTIVATIONS)),
        default="auto",
        title="Activation",
        description="How a full sync takes effect: `swap` the staging table in by rename, `merge` changed rows, or"
        " `auto`: swap unless something depends on the live table.",
    ),
    th.Property(
        "max_shrink_percent",
        th.NumberType(minimum=0, maximum=100),
        default=20,
        title="Greatest shrink",
        description="A full sync may leave a table at most this much smaller, in percent of its rows.",
    ),
    th.Property(
        "allow_shrink",
        th.ArrayType(th.StringType),
        default=[],
        title="Tables that may shrink",
        description="Names of tables that may shrink by more than that, or become empty.",
    ),
    th.Property(
        "stale_rows",
        th.StringType(allowed_values=list(STALE_ROWS)),
        default="delete",
        title="Stale rows",
        description="Rows that a full sync no longer finds at the source: `delete`, `flag` or `keep` them.",
    ),
    th.Property("stale_column", th.StringType, title="Stale column", description="The column that `flag` sets."),
    th.Property("stale_value", th.StringType, title="Stale value", description="The value that `flag` sets it to."),
    th.Property(
        "nul_characters",
        th.StringType(allowed_values=list(NUL_CHARACTERS)),
        default="replace",
        title="NUL characters",
        description="PostgreSQL stores no NUL character in text: `replace` it, `strip` it, or `reject` the row.",
    ),
    th.Property(
        "nul_replacement",
        th.StringType,
        default=SYMBOL_FOR_NULL,
        title="NUL replacement",
        description="What a NUL character is replaced by: U+2400, the symbol for it, by default.",
    ),
    th.Property(
        "max_rejects",
        _whole(0),
        default=0,
        title="Greatest number of rejects",
        description="Rows that cannot be stored go to `paralelo.reject`; with more than this the sync stops.",
    ),
    th.Property(
        "verify",
        th.StringType(allowed_values=list(VERIFICATIONS)),
        default="off",
        title="Verify before activation",
        description="A full sync's last step: the staging table is compared with the source, `quick` (sums by key"
        " range) or `deep` (every cell), and is not activated unless it is equal.",
    ),
    th.Property(
        "verify_command",
        th.ArrayType(th.StringType),
        title="Verify command",
        description="The program that compares, and its first arguments: the target itself knows no source. Paralelo's"
        " project sets it.",
    ),
    th.Property(
        "lock_timeout_seconds",
        th.NumberType(minimum=0),
        default=3,
        title="Lock timeout",
        description="Longest wait for an exclusive lock on a live table; others queue behind it meanwhile.",
    ),
    th.Property(
        "activation_patience_seconds",
        th.NumberType(minimum=0),
        default=900,
        title="Activation patience",
        description="How long the lock is asked for again, with growing pauses, before the run gives up, or `auto`"
        " merges; so long any other lock is waited for, too.",
    ),
    th.Property(
        "snapshot_wait_seconds",
        th.NumberType(minimum=0),
        default=60,
        title="Snapshot wait",
        description="How long a swap waits for transactions that began before the staged rows were complete; then"
        " `auto` merges instead.",
    ),
    th.Property(
        "staging_unlogged",
        th.BooleanType,
        default=False,
        title="Unlogged staging",
        description="Write staging tables without the write-ahead log. A server crash empties them and the sync begins"
        " anew; a swap writes the table to the log at its end.",
    ),
    th.Property(
        "ledger_keep_days",
        _whole(1),
        default=90,
        title="Days to keep the ledger",
        description="Entries of ended syncs older than this are removed from `paralelo.sync`, with their rejects.",
    ),
    th.Property(
        "hard_delete",
        th.BooleanType,
        default=True,
        title="Hard delete",
        description="At ACTIVATE_VERSION of a tap that is not ours, delete rows of older versions.",
    ),
    th.Property(
        "process_activate_version_messages",
        th.BooleanType,
        default=True,
        title="Process ACTIVATE_VERSION",
        description="Whether ACTIVATE_VERSION of a tap that is not ours is heeded.",
    ),
)


@dataclass(frozen=True)
class LoadRules:
    """How one table's rows are loaded and activated."""

    activation: Activation = "auto"
    max_shrink_percent: float = 20
    shrink_allowed: bool = False
    stale_rows: StaleRows = "delete"
    stale_column: str | None = None
    stale_value: str | None = None
    nul_characters: NulCharacters = "replace"
    nul_replacement: str = SYMBOL_FOR_NULL
    max_rejects: int = 0
    verify: Verification = "off"


@dataclass(frozen=True)
class Settings:
    """The target's settings, checked."""

    host: str
    user: str
    database: str
    port: int = 5432
    password: str | None = field(default=None, repr=False)
    ssl_mode: str = "auto"
    ssl_root_cert: str | None = None
    ssl_cert: str | None = None
    ssl_key: str | None = None
    connect_timeout_seconds: int = 300
    application_name: str = "paralelo"
    default_target_schema: str = "public"
    lock_timeout_seconds: float = 3
    activation_patience_seconds: float = 900
    snapshot_wait_seconds: float = 60
    staging_unlogged: bool = False
    ledger_keep_days: int = 90
    verify_command: tuple[str, ...] = ()
    load: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Settings:
        """From the plugin's config, which the SDK has validated."""
        known = {f.name for f in fields(cls)} - {"load"}
        values = {name: value for name, value in config.items() if name in known and value is not None}
        values["verify_command"] = tuple(values.get("verify_command") or ())
        return cls(**values, load=dict(config))

    def rules_for(self, table: str, own: Mapping[str, Any] | None = None) -> LoadRules:
        """The rules for one table: `own` (its `x-paralelo.load`) over the target's settings.

        Raises ConfigurationError for a value that is none of a rule's.
        """
        given = {**self.load, **{name: value for name, value in (own or {}).items() if value is not None}}
        rules = LoadRules(
            activation=cast("Activation", _one_of(given, "activation", ACTIVATIONS, table)),
            max_shrink_percent=_number(given, "max_shrink_percent", 20, table),
            shrink_allowed=_names_table(given.get("allow_shrink"), table),
            stale_rows=cast("StaleRows", _one_of(given, "stale_rows", STALE_ROWS, table)),
            stale_column=fold(str(given["stale_column"])) if given.get("stale_column") else None,
            stale_value=None if given.get("stale_value") is None else str(given["stale_value"]),
            nul_characters=cast("NulCharacters", _one_of(given, "nul_characters", NUL_CHARACTERS, table)),
            nul_replacement=str(given.get("nul_replacement", SYMBOL_FOR_NULL)),
            max_rejects=int(_number(given, "max_rejects", 0, table)),
            verify=cast("Verification", _one_of(given, "verify", VERIFICATIONS, table)),
        )
        if rules.stale_rows == "flag" and not rules.stale_column:
            raise ConfigurationError(f"{table}: stale_rows is flag, so stale_column must name the column to set")
        if rules.stale_rows == "flag" and rules.stale_value is None:
            raise ConfigurationError(f"{table}: stale_rows is flag, so stale_value must say what is set there")
        if "\0" in rules.nul_replacement:
            raise ConfigurationError(f"{table}: nul_replacement cannot hold a NUL character itself")
        return rules


def _one_of(given: Mapping[str, Any], name: str, allowed: tuple[str, ...], table: str) -> str:
    value = given.get(name, allowed[0])
    if value not in allowed:
        raise ConfigurationError(f"{table}: {name} is {value!r}; it can be {', '.join(allowed)}")
    return str(value)


def _number(given: Mapping[str, Any], name: str, default: float, table: str) -> float:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ConfigurationError(f"{table}: {name} is {value!r}; it must be a number, 0 or more")
    return value


def _names_table(allowed: Any, table: str) -> bool:
    """`allow_shrink` is a list of names, with or without a schema; a table's own rules may also say true."""
    if isinstance(allowed, bool):
        return allowed
    names = [allowed] if isinstance(allowed, str) else list(allowed or ())
    return any(str(name).lower() in (table, table.rpartition(".")[2]) for name in names)
