"""Built-in functions that answer about the session, the server and the catalog."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlglot import exp

from ..tds.types import COLLATION_NAME, INT, SYSNAME, SqlType
from .catalog import BASE, quoted, text
from .convert import Node, stored
from .functions import FUNCTIONS as FUNCTIONS
from .functions import Handler, Typed, function, number

if TYPE_CHECKING:
    from .translate import Scope, Translator

ROWVERSION = SqlType("binary", 8)


def _said(value: Callable[[Translator], str | int | None], kind: SqlType = SYSNAME) -> Handler:
    """A function whose answer the session knows, whatever its arguments."""

    def handler(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
        found = value(tr)
        if found is None:
            return stored(exp.Null(), kind.duckdb), kind
        if isinstance(found, int):
            return stored(exp.Literal.number(found), kind.duckdb), kind
        return exp.Literal.string(found), kind

    return handler


FUNCTIONS["host_name"] = _said(lambda tr: tr.facts.host)
FUNCTIONS["app_name"] = _said(lambda tr: tr.facts.application)
for _name in ("suser_name", "suser_sname", "original_login"):
    FUNCTIONS[_name] = _said(lambda tr: tr.facts.login)
FUNCTIONS["user_name"] = _said(lambda tr: "dbo" if tr.facts.administrator else tr.facts.login)
FUNCTIONS["scope_identity"] = _said(lambda tr: tr.facts.identity, SqlType("numeric", 0, 38, 0))
FUNCTIONS["xact_state"] = _said(lambda tr: int(tr.facts.trancount > 0), SqlType("smallint"))
FUNCTIONS["is_srvrolemember"] = _said(lambda tr: int(tr.facts.administrator), INT)
FUNCTIONS["is_member"] = FUNCTIONS["is_rolemember"] = FUNCTIONS["is_srvrolemember"]
FUNCTIONS["connectionproperty"] = _said(lambda tr: "TCP", SqlType("sql_variant"))


@function("min_active_rowversion")
def _min_active_rowversion(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    """Above every committed row version. An open transaction's own are not seen yet, and will be at least this."""
    counters = f"{quoted(tr.database)}.{BASE}.counters"
    return tr.scalar(f"(SELECT big_endian(value + 1, 8) FROM {counters} WHERE name = 'rowversion')"), ROWVERSION


@function("db_name")
def _db_name(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    if not arguments:
        return exp.Literal.string(tr.database), SYSNAME
    number = tr.expr(arguments[0], scope)[0].sql("duckdb")
    return tr.scalar(f"(SELECT name FROM memory.main.databases WHERE database_id = {number})"), SYSNAME


@function("db_id")
def _db_id(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    name = tr.expr(arguments[0], scope)[0].sql("duckdb") if arguments else text(tr.database)
    return tr.scalar(f"(SELECT database_id FROM memory.main.databases WHERE lower(name) = lower({name}))"), SqlType(
        "smallint"
    )


@function("has_dbaccess")
def _has_dbaccess(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    name = tr.expr(arguments[0], scope)[0].sql("duckdb")
    return tr.scalar(f"(SELECT 1 FROM memory.main.databases WHERE lower(name) = lower({name}))"), INT


@function("databasepropertyex")
def _databasepropertyex(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    known: dict[str, str] = {
        "collation": COLLATION_NAME,
        "status": "ONLINE",
        "updateability": "READ_WRITE",
        "recovery": "FULL",
        "useraccess": "MULTI_USER",
    }
    found = known.get(arguments[1].name.lower())
    return (exp.Literal.string(found) if found else stored(exp.Null(), "VARCHAR")), SqlType("nvarchar", 128)


@function("collationproperty")
def _collationproperty(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    """Of the collations that Windows' Latin code page belongs to; NULL for every other, as for a name nobody knows."""
    known = {"codepage": 1252, "lcid": 1033}
    found = known.get(arguments[1].name.lower())
    if found is None:
        return stored(exp.Null(), "INTEGER"), INT
    name = tr.expr(arguments[0], scope)[0].sql("duckdb")
    return tr.scalar(f"CASE WHEN contains(lower({name}), 'latin1_general') THEN {found} END"), INT


@function("serverproperty")
def _serverproperty(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    known: dict[str, str | int] = {
        "productversion": "16.0.1000.6",
        "productlevel": "RTM",
        "edition": "Developer Edition (64-bit)",
        "collation": COLLATION_NAME,
        "engineedition": 3,
        "servername": "PARALELO",
        "machinename": "PARALELO",
        "productmajorversion": "16",
        "productminorversion": "0",
        "isclustered": 0,
        "ishadrenabled": 0,
        "isintegratedsecurityonly": 0,
        "lcid": 1033,
        "productbuild": "1000",
    }
    found = known.get(arguments[0].name.lower())
    if isinstance(found, int):
        return number(found, "INTEGER"), INT
    return (exp.Literal.string(found) if found else stored(exp.Null(), "VARCHAR")), SqlType("nvarchar", 128)


@function("sessionproperty")
def _sessionproperty(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    return number(int(arguments[0].name.upper() != "NUMERIC_ROUNDABORT"), "INTEGER"), INT


@function("has_perms_by_name")
def _has_perms(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    target = arguments[0].name if isinstance(arguments[0], exp.Literal | exp.National) else None
    return number(int(tr.may("SELECT", target)), "INTEGER"), INT


@function("object_id")
def _object_id(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    first = arguments[0]
    if isinstance(first, exp.Literal | exp.National):
        found = tr.named(first.name)
        return (number(found.ident, "INTEGER") if found else stored(exp.Null(), "INTEGER")), INT
    name = tr.expr(first, scope)[0].sql("duckdb")
    base = f"{quoted(tr.database)}.{BASE}"
    plain = f"lower(replace(replace({name}, '[', ''), ']', ''))"
    return tr.scalar(
        f"(SELECT o.object_id FROM {base}.objects o JOIN {base}.schemas s USING (schema_id)"
        f" WHERE lower(s.name || '.' || o.name) = {plain} OR (s.name = 'dbo' AND lower(o.name) = {plain}))"
    ), INT


def _lookup(table: str, key: str, want: str, kind: SqlType) -> Handler:
    def handler(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
        if not arguments:
            return (exp.Literal.string("dbo") if want == "name" else number(1, "INTEGER")), kind
        value = tr.expr(arguments[0], scope)[0].sql("duckdb")
        left, right = (f"lower({key})", f"lower({value})") if key == "name" else (key, value)
        return tr.scalar(f"(SELECT min({want}) FROM {quoted(tr.database)}.{BASE}.{table} WHERE {left} = {right})"), kind

    return handler


FUNCTIONS["schema_name"] = _lookup("schemas", "schema_id", "name", SYSNAME)
FUNCTIONS["schema_id"] = _lookup("schemas", "name", "schema_id", INT)
FUNCTIONS["object_name"] = _lookup("objects", "object_id", "name", SYSNAME)
FUNCTIONS["type_name"] = _lookup("types", "user_type_id", "name", SYSNAME)
FUNCTIONS["type_id"] = _lookup("types", "name", "user_type_id", INT)


@function("columnproperty")
def _columnproperty(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    source = {
        "isidentity": "is_identity",
        "iscomputed": "computed_definition IS NOT NULL",
        "allowsnull": "is_nullable",
        "precision": "catalog_precision",
        "scale": "catalog_scale",
        "columnid": "column_id",
        "ordinal": "column_id",
        "issparse": "is_sparse",
    }.get(arguments[2].name.lower(), "NULL")
    item, name = (tr.expr(a, scope)[0].sql("duckdb") for a in arguments[:2])
    return tr.scalar(
        f"(SELECT CAST({source} AS INTEGER) FROM {quoted(tr.database)}.{BASE}.columns"
        f" WHERE object_id = {item} AND lower(name) = lower({name}))"
    ), INT


@function("objectproperty", "objectpropertyex")
def _objectproperty(tr: Translator, arguments: list[Node], scope: Scope) -> Typed:
    item = tr.expr(arguments[0], scope)[0].sql("duckdb")
    test = {
        "isusertable": "type = 'U'",
        "istable": "type = 'U'",
        "isview": "type = 'V'",
        "ismsshipped": "false",
        "tablehasprimarykey": f"EXISTS (FROM {quoted(tr.database)}.{BASE}.indexes WHERE object_id = {item}"
        " AND is_primary_key)",
    }.get(arguments[1].name.lower(), "NULL")
    return tr.scalar(
        f"(SELECT CAST({test} AS INTEGER) FROM {quoted(tr.database)}.{BASE}.objects WHERE object_id = {item})"
    ), INT
