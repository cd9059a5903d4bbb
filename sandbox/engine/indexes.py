"""Indexes and unique constraints: rows of the catalog, and the check that a unique one holds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from ..tds.errors import SqlError, no_column, syntax
from .catalog import BASE, Table, quoted
from .objects import found_table
from .translate import parse

if TYPE_CHECKING:
    from .session import Session


def enter_index(
    session: Session,
    table: Table,
    label: str | None,
    names: list[tuple[str, bool]],
    included: list[str],
    *,
    unique: bool,
    primary: bool = False,
    constraint: bool = False,
    clustered: bool = False,
) -> None:
    base = f"{quoted(table.database)}.{BASE}"
    by_name = {c.name.lower(): n for n, c in enumerate(table.columns, 1)}
    for name in [n for n, _ in names] + included:
        if name.lower() not in by_name:
            raise no_column(name)
    clash = session.fetch(
        f"SELECT 1 FROM {base}.indexes WHERE object_id = $1 AND name = $2", [table.ident, label or ""]
    )
    if clash:
        raise SqlError(
            1913,
            f"The operation failed because an index or statistics with name '{label}' already exists"
            f" on table '{table.name}'.",
        )
    number = (
        1
        if clustered
        else int(
            session.fetch(
                f"SELECT greatest(coalesce(max(index_id), 1), 1) + 1 FROM {base}.indexes WHERE object_id = $1",
                [table.ident],
            )[0][0]
        )
    )
    made = label or f"{'PK' if primary else 'UQ'}__{table.name[:9]}__{table.ident * 7919 % 2**32:08X}"
    session.fetch(
        f"INSERT INTO {base}.indexes VALUES ($1, $2, $3, $4, $5, $6, $7)",
        [table.ident, number, made, 1 if clustered else 2, unique, primary, constraint],
    )
    for place, (name, descending) in enumerate([*names, *[(n, False) for n in included]], 1):
        extra = place > len(names)
        session.fetch(
            f"INSERT INTO {base}.index_columns VALUES ($1, $2, $3, $4, $5, $6, $7)",
            [table.ident, number, place, by_name[name.lower()], 0 if extra else place, descending, extra],
        )
    if unique:
        listed = ", ".join(quoted(n) for n, _ in names)
        if session.fetch(f"SELECT 1 FROM {table.reference} GROUP BY {listed} HAVING count(*) > 1 LIMIT 1"):
            raise SqlError(
                1505,
                f"The CREATE UNIQUE INDEX statement terminated because a duplicate key was found for"
                f" the object name '{table.schema}.{table.name}' and the index name '{made}'.",
            )


def create_index(session: Session, text: str) -> None:
    tree = parse(
        re.sub(r"\s+WITH\s*\([^)]*\)|\s+ON\s+\[PRIMARY\]|\s+WHERE\s.*$", "", text, flags=re.IGNORECASE | re.DOTALL)
    )
    assert isinstance(tree, exp.Create)
    index = tree.this
    params = index.args["params"]
    names = [
        (o.this.name, bool(o.args.get("desc"))) if isinstance(o, exp.Ordered) else (o.name, False)
        for o in params.args["columns"]
    ]
    included = [i.name for i in params.args.get("include") or []]
    clustered = bool(re.search(r"(?i)(?<!NON)\bCLUSTERED\b", text.split("(")[0]))
    enter_index(
        session,
        found_table(session, index.args["table"], 1088),
        index.name,
        names,
        included,
        unique=bool(tree.args.get("unique")),
        clustered=clustered,
    )


def drop_index(session: Session, text: str) -> None:
    found = re.match(r"(?is)drop\s+index\s+(if\s+exists\s+)?(\S+)\s+on\s+(\S+)", text.strip())
    if found is None:
        raise syntax("INDEX")
    table = session.translator({}).named(found[3].rstrip(";"))
    name = found[2].strip("[]")
    gone = table is not None and session.fetch(
        f"SELECT index_id FROM {quoted(table.database)}.{BASE}.indexes WHERE object_id = $1 AND name = $2",
        [table.ident, name],
    )
    if not gone:
        if found[1]:
            return
        raise SqlError(
            3701,
            f"Cannot drop the index '{found[3]}.{name}', because it does not exist or you do not have permission.",
            11,
        )
    assert table is not None
    for part in ("indexes", "index_columns"):
        session.fetch(
            f"DELETE FROM {quoted(table.database)}.{BASE}.{part} WHERE object_id = $1 AND index_id = $2",
            [table.ident, gone[0][0]],
        )
