"""The rules that need no database: which batch is what, which type is wider, what a name becomes."""

from __future__ import annotations

from importlib.resources import files
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import errors as pg
from sync_rules.batch_info import BatchInfo
from sync_rules.exits import ConfigurationError, DataRefused, SyncError, TableInUse, TargetUnreachable
from target_postgres.errors import tell, tell_connecting
from target_postgres.ledger import Entry, judge
from target_postgres.names import fold, incoming_of, index_of, shorten, staging_of, table_of
from target_postgres.postgres_types import PostgresType, from_json_schema, wider
from target_postgres.settings import Settings

ENTRIES = [Entry(1, None, ("90",), 10, 0, "1"), Entry(2, (90,), (80,), 10, 0, "2")]


@pytest.mark.parametrize(
    ("batch", "after", "through", "rows", "verdict"),
    [
        (3, (80,), (70,), 10, "load"),
        (3, ("80",), (70,), 10, "load"),
        (3, (81,), (70,), 10, "gap"),
        (4, (80,), (70,), 10, "gap"),
        (2, (90,), (80,), 10, "skip"),
        (1, None, (90,), 10, "skip"),
        (1, None, (90,), 9, "rewind"),
        (1, None, (85,), 10, "rewind"),
        (2, (90,), (70,), 20, "rewind"),
        (2, (91,), (80,), 10, "gap"),
        (2, None, (80,), 10, "gap"),
        (0, None, (80,), 10, "gap"),
    ],
)
def test_the_ledgers_four_rules(batch: int, after: Any, through: Any, rows: int, verdict: str) -> None:
    assert judge(ENTRIES, BatchInfo("s", "full", batch, rows, 1, after, through)) == verdict


def test_an_empty_ledger_takes_the_first_batch_only() -> None:
    assert judge([], BatchInfo("s", "full", 1, 1, 1, None, (1,))) == "load"
    assert judge([], BatchInfo("s", "full", 2, 1, 1, (2,), (1,))) == "gap"


@pytest.mark.parametrize(
    ("live", "source", "result"),
    [
        ("character varying(10)", "character varying(20)", "character varying(20)"),
        ("character varying(20)", "character varying(10)", "character varying(20)"),
        ("character varying", "character varying(10)", "character varying"),
        ("character(5)", "character varying(3)", "character varying(5)"),
        ("text", "character varying(3)", "text"),
        ("smallint", "bigint", "bigint"),
        ("bigint", "smallint", "bigint"),
        ("integer", "numeric(5,2)", "numeric(12,2)"),
        ("numeric(10,2)", "integer", "numeric(12,2)"),
        ("numeric(10,2)", "numeric(8,4)", "numeric(12,4)"),
        ("numeric", "numeric(8,4)", "numeric"),
        ("real", "double precision", "double precision"),
        ("date", "timestamp(3) without time zone", "timestamp(3) without time zone"),
        ("timestamp(0) without time zone", "timestamp(6) without time zone", "timestamp(6) without time zone"),
        ("jsonb", "json", "jsonb"),
        ("timestamp(6) without time zone", "timestamp(6) with time zone", None),
        ("integer", "text", None),
        ("text", "integer", None),
        ("boolean", "smallint", None),
        ("date", "integer", None),
        ("double precision", "numeric(5,2)", None),
    ],
)
def test_the_wider_type(live: str, source: str, result: str | None) -> None:
    found = wider(PostgresType.parse(live), PostgresType.parse(source))
    assert (str(found) if found else None) == result


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string", "x-column-type": "varchar(14)"}, "character varying(14)"),
        ({"type": ["integer", "null"]}, "bigint"),
        ({"type": "integer", "maximum": 2**64}, "numeric"),
        ({"type": "number"}, "numeric"),
        ({"type": "number", "x-sql-datatype": "decimal(10, 2)"}, "numeric(10,2)"),
        ({"type": "string", "x-sql-datatype": "decimal(10,2)"}, "text"),
        ({"type": "string", "maxLength": 5}, "character varying(5)"),
        (
            {"anyOf": [{"type": "string", "format": "date-time"}, {"type": ["string", "null"]}]},
            "timestamp with time zone",
        ),
        ({"type": ["string", "integer"]}, "jsonb"),
        ({}, "jsonb"),
    ],
)
def test_types_from_json_schema(schema: dict[str, Any], kind: str) -> None:
    assert str(from_json_schema(schema)) == kind


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), min_size=1, max_size=200))
def test_no_name_is_cut_by_postgresql(name: str) -> None:
    made = [fold(name), staging_of(fold(name), 10**13), index_of(fold(name), 10**13, 99), incoming_of(fold(name))]
    assert all(len(one.encode()) <= 63 for one in made)


def test_long_names_stay_different() -> None:
    assert shorten("x" * 70 + "a") != shorten("x" * 70 + "b")
    assert staging_of("x" * 60 + "a", 1) != staging_of("x" * 60 + "b", 1)


def test_tables_of_streams() -> None:
    assert table_of("dbo-Bi_Credores") == "bi_credores"
    assert table_of("dbo-a-b") == "a-b"
    assert table_of("Users") == "users"
    with pytest.raises(ConfigurationError):
        table_of("dbo-a\0b")


def test_a_tables_own_rules_go_over_the_settings() -> None:
    settings = Settings.of({"host": "h", "user": "u", "database": "d", "activation": "merge", "allow_shrink": ["T"]})
    assert settings.rules_for("public.t").shrink_allowed
    assert settings.rules_for("public.t", {"activation": "swap", "max_rejects": 3}).activation == "swap"
    with pytest.raises(ConfigurationError, match="activation is 'never'"):
        settings.rules_for("public.t", {"activation": "never"})
    with pytest.raises(ConfigurationError, match="max_rejects"):
        settings.rules_for("public.t", {"max_rejects": "many"})
    given = {"host": "h", "user": "u", "database": "d", "password": "pl4nted"}
    assert "pl4nted" not in repr(Settings.of(given))


def test_sql_is_ascii() -> None:
    """Its comments are sent, and a server's encoding may have no place for another character."""
    for file in (files("target_postgres") / "sql").iterdir():
        assert file.read_bytes().isascii(), file.name


class OutOfNumbers(pg.ProgramLimitExceeded):
    """What PostgreSQL 18 raises when the ids of transactions run out, met by `pg_resetwal --next-transaction-id`."""

    diag = SimpleNamespace(  # type: ignore[assignment]  # the server's, which nothing else fills
        message_primary="database is not accepting commands that assign new transaction IDs",
        source_file="varsup.c",
        source_function="GetNewTransactionId",
        column_name=None,
        constraint_name=None,
        context=None,
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (pg.DiskFull, TargetUnreachable),
        (pg.TooManyConnections, TargetUnreachable),
        (pg.AdminShutdown, TargetUnreachable),
        (pg.QueryCanceled, TargetUnreachable),
        (pg.IoError, TargetUnreachable),
        (psycopg.InterfaceError, TargetUnreachable),
        (psycopg.OperationalError, TargetUnreachable),
        (pg.LockNotAvailable, TableInUse),
        (pg.InsufficientPrivilege, ConfigurationError),
        (pg.ReadOnlySqlTransaction, ConfigurationError),
        (pg.ConfigurationLimitExceeded, ConfigurationError),
        (pg.DatatypeMismatch, SyncError),
        (pg.DeadlockDetected, SyncError),
        (pg.NotNullViolation, DataRefused),
        (pg.ProgramLimitExceeded, DataRefused),
        (OutOfNumbers, TargetUnreachable),
    ],
)
def test_an_error_ends_with_the_code_of_its_kind(error: type[psycopg.Error], kind: type[Exception]) -> None:
    assert type(tell(error("what is wrong"), "public.t")) is kind


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("sorry, too many clients already", TargetUnreachable),
        ("desculpe, muitos clientes conectados", TargetUnreachable),
        ("el sistema de base de datos está iniciándose", TargetUnreachable),
        ("le système de base de données s'arrête", TargetUnreachable),
        ("das Datenbanksystem ist im Wiederherstellungsmodus", TargetUnreachable),
        ("die verbleibenden Verbindungen sind für Superuser reserviert", TargetUnreachable),
        ("query_wait_timeout", TargetUnreachable),
        ("server login has been failing, try again later (server_login_retry)", TargetUnreachable),
        ("no more connections allowed (max_client_conn)", TargetUnreachable),
        ('database "x" is disabled', ConfigurationError),
        ("Passwort-Authentifizierung für Benutzer »x« fehlgeschlagen", ConfigurationError),
        ("no existe la base de datos «x»", ConfigurationError),
    ],
)
def test_a_servers_passing_state_is_none_of_the_settings(words: str, kind: type[Exception]) -> None:
    """Whatever language it speaks, and through PgBouncer."""
    assert type(tell_connecting(psycopg.OperationalError(f"connection failed: FATAL:  {words}"), "")) is kind
