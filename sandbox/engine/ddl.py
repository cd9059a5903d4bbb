"""CREATE, ALTER and DROP of databases, schemas, tables, indexes and views; logins' rights."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp

from ..tds.errors import SqlError, syntax
from . import indexes, results, tables
from .catalog import BASE, Column, quoted
from .dialect import SqlServer
from .objects import register

if TYPE_CHECKING:
    from .session import Session, Sink


def run(session: Session, word: str, text: str, sink: Sink) -> None:
    words = re.sub(r"\s+", " ", text.strip()).upper().split(" ")
    what = words[1]
    if what in ("UNIQUE", "CLUSTERED", "NONCLUSTERED"):
        what = "INDEX"
    if word in ("GRANT", "DENY", "REVOKE"):
        session.write(lambda: _rights(session, word, text))
    elif what == "DATABASE":
        _database(session, word, text)
    elif what == "SCHEMA":
        session.write(lambda: _schema(session, word, text))
    elif what in ("LOGIN", "USER"):
        raise SqlError(15247, "User does not have permission to perform this action.")
    elif word == "CREATE" and what == "TABLE":
        session.write(lambda: tables.create_table(session, text))
    elif word == "CREATE" and what == "INDEX":
        session.write(lambda: indexes.create_index(session, text))
    elif what == "VIEW" or (what == "OR" and "VIEW" in words[2:5]):
        session.write(lambda: _drop(session, text, "V") if word == "DROP" else _create_view(session, word, text))
    elif word == "DROP" and what == "TABLE":
        session.write(lambda: _drop(session, text, "U"))
    elif word == "DROP" and what == "INDEX":
        session.write(lambda: indexes.drop_index(session, text))
    elif word == "ALTER" and what == "TABLE":
        session.write(lambda: tables.alter_table(session, text))
    else:
        raise syntax(what)
    sink.done(None)


def _create_view(session: Session, word: str, text: str) -> None:
    found = re.match(
        r"(?is)\s*(create\s+or\s+alter|create|alter)\s+view\s+(.+?)\s*(\(([^()]*)\))?"
        r"(?:\s+with\s+schemabinding)?\s+as\s+(.*)$",
        text,
    )
    if found is None:
        raise syntax("VIEW")
    node = sqlglot.parse_one(found[2], into=exp.Table, read=SqlServer)
    assert isinstance(node, exp.Table)
    from .script import PREFIX

    body = found[5].rstrip("; \n")
    translator, query = session.translated(body, {})
    relation = session.cursor.sql(f"SELECT * FROM ({query.sql}) LIMIT 0", params=translator.used or None)
    columns = results.columns(query.columns, relation.to_arrow_table().schema)
    names = [n.strip().strip("[]") for n in found[4].split(",")] if found[4] else [c.name for c in columns]
    if not all(names):
        raise SqlError(4511, "Create View or Function failed because no column name was specified for a column.")
    if "alter" in found[1].lower() and session.translator({}).named(found[2]):
        _drop(session, f"DROP VIEW {found[2]}", "V")
    table = register(
        session,
        node,
        "V",
        [Column(n, c.type, c.nullable) for n, c in zip(names, columns, strict=True)],
        text.replace(PREFIX, ""),
    )
    listed = ", ".join(map(quoted, names))
    session.fetch(f"CREATE VIEW {table.reference} ({listed}) AS {query.sql}")


def _drop(session: Session, text: str, kind: str) -> None:
    found = re.match(r"(?is)drop\s+(?:table|view)\s+(if\s+exists\s+)?(.*)$", text.strip().rstrip(";"))
    if found is None:
        raise syntax("DROP")
    for name in found[2].split(","):
        table = session.translator({}).named(name.strip())
        if table is None or table.kind != kind:
            if found[1]:
                continue
            what = "table" if kind == "U" else "view"
            raise SqlError(
                3701,
                f"Cannot drop the {what} '{name.strip()}', because it does not exist or you do not have permission.",
                11,
                5,
            )
        base = f"{quoted(table.database)}.{BASE}"
        session.fetch(f"DROP {'TABLE' if kind == 'U' else 'VIEW'} {table.reference}")
        for part in ("objects", "columns", "indexes", "index_columns", "permissions"):
            session.fetch(f"DELETE FROM {base}.{part} WHERE object_id = $1", [table.ident])


def _schema(session: Session, word: str, text: str) -> None:
    name = text.split()[2].strip('[]";')
    base = f"{quoted(session.database)}.{BASE}"
    known = session.fetch(f"SELECT schema_id FROM {base}.schemas WHERE lower(name) = $1", [name.lower()])
    if word == "CREATE":
        if known:
            raise SqlError(2714, f"There is already an object named '{name}' in the database.", 16, 6)
        session.fetch(f"CREATE SCHEMA {quoted(session.database)}.{quoted(name)}")
        session.fetch(f"INSERT INTO {base}.schemas SELECT max(schema_id) + 1, $1 FROM {base}.schemas", [name])
        return
    if not known:
        raise SqlError(
            15151, f"Cannot drop the schema '{name}', because it does not exist or you do not have permission."
        )
    if session.fetch(f"SELECT 1 FROM {base}.objects WHERE schema_id = $1", [known[0][0]]):
        raise SqlError(3729, f"Cannot drop schema '{name}' because it is being referenced by an object.")
    session.fetch(f"DROP SCHEMA {quoted(session.database)}.{quoted(name)}")
    session.fetch(f"DELETE FROM {base}.schemas WHERE schema_id = $1", [known[0][0]])


def _database(session: Session, word: str, text: str) -> None:
    if not session.administrator:
        raise SqlError(262, "CREATE DATABASE permission denied in database 'master'.", 14)
    found = re.match(r"(?is)\w+\s+database\s+(if\s+exists\s+)?(\[[^\]]+\]|\"[^\"]+\"|[\w$#@]+)\s*(.*)$", text.strip())
    if found is None:
        raise syntax("DATABASE")
    name, rest = found[2].strip('[]"'), found[3].upper()
    if word == "CREATE":
        session.instance.create_database(name)
        return
    if word == "DROP":
        if not (found[1] and not session.instance.has(name)):
            session.instance.drop_database(name)
        return
    real = session.database if name.upper() == "CURRENT" else session.instance.name_of(name)
    if real is None:
        raise SqlError(
            5011, f"User does not have permission to alter database '{name}', the database does not exist.", 14
        )
    for option, field in (
        ("ALLOW_SNAPSHOT_ISOLATION", "snapshot"),
        ("READ_COMMITTED_SNAPSHOT", "read_committed_snapshot"),
    ):
        if option in rest:
            state = "true" if re.search(option + r"\s+ON", rest) else "false"
            session.fetch(f"UPDATE memory.main.databases SET {field} = {state} WHERE name = $1", [real])


def _rights(session: Session, word: str, text: str) -> None:
    """GRANT, DENY and REVOKE of rights on one table, or on the database when no object is named."""
    found = re.match(r"(?is)\w+\s+(.+?)(?:\s+on\s+(?:object\s*::\s*)?(\S+))?\s+(?:to|from)\s+(\S+)", text.strip())
    if found is None:
        raise syntax(word)
    if not session.administrator:
        raise SqlError(15151, "Cannot find the object, because it does not exist or you do not have permission.")
    table = session.translator({}).named(found[2]) if found[2] else None
    if found[2] and table is None and not found[2].lower().startswith("schema"):
        raise SqlError(
            15151, f"Cannot find the object '{found[2]}', because it does not exist or you do not have permission."
        )
    login, base = found[3].strip('[]";'), f"{quoted(session.database)}.{BASE}.permissions"
    for verb in found[1].upper().split(","):
        place = [login, verb.strip(), table.ident if table else 0]
        session.fetch(f"DELETE FROM {base} WHERE lower(login) = lower($1) AND verb = $2 AND object_id = $3", place)
        if word != "REVOKE":
            session.fetch(f"INSERT INTO {base} VALUES ($1, $2, $3, '{word}')", place)
