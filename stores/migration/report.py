"""What is printed: the plan, the account, the comparison. Plain text, made to be read and to be searched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from stores.migration.files import Store, Unknown
from stores.migration.mapping import StoreAccount, in_order
from stores.migration.verify import TableComparison


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns as wide as they must be; numbers to the right."""
    lines = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[at]) for line in [list(headings), *lines]) for at in range(len(headings))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if cell.isdecimal() else cell.ljust(width)
            for cell, width in zip(cells, widths, strict=True)
        ]
        return "  ".join(padded).rstrip()

    return "\n".join([line(list(headings)), line(["-" * width for width in widths]), *map(line, lines)])


def planned(stores: Sequence[Store]) -> list[dict[str, Any]]:
    """Where each table's rows go."""
    return [
        {
            "store": store.name,
            "layout": store.layout.name,
            "table": one.name,
            "rows": one.rows,
            "goes_to": one.target or f"archive.{store.landing_table(one.name)}",
        }
        for store in stores
        for one in in_order(store)
    ]


def left_alone(unknown: Sequence[Unknown]) -> list[dict[str, Any]]:
    """The files that are no store, or cannot be read, and why."""
    return [{"path": str(one.path), "reason": one.reason, "unreadable": one.unreadable} for one in unknown]


def accounted(accounts: Sequence[StoreAccount]) -> list[dict[str, Any]]:
    """Where every row of each table went, and why."""
    return [
        {
            "store": one.store,
            "tables": [{**asdict(each), "adds_up": each.adds_up} for each in one.tables],
            "reasons": [
                {"table": name, "outcome": outcome, "reason": reason, "rows": count}
                for name, outcome, reason, count in one.reasons
            ],
        }
        for one in accounts
    ]


def plan(stores: Sequence[Store], unknown: Sequence[Unknown]) -> str:
    """What goes where."""
    rows = [tuple(one.values()) for one in planned(stores)]
    parts = [table(("store", "layout", "table", "rows", "goes to"), rows)]
    indexes = [f"{store.name}.{name}" for store in stores for name in store.indexes]
    if indexes:
        parts.append(f"Full-text indexes, made anew in PostgreSQL and not copied: {', '.join(indexes)}")
    parts += [f"{'NOT READ' if one.unreadable else 'Left alone'}: {one.path}: {one.reason}" for one in unknown]
    parts.append(f"{sum(store.rows for store in stores)} rows in {len(stores)} stores")
    return "\n".join(parts)


def account(accounts: Sequence[StoreAccount]) -> str:
    """Where every row went, and that it adds up."""
    rows = [
        (one.store, t.table, t.rows, t.mapped, t.archived, t.rejected, t.noted, t.new, "yes" if t.adds_up else "NO")
        for one in accounts
        for t in one.tables
    ]
    tables = [t for one in accounts for t in one.tables]
    total = [
        sum(getattr(t, name) for t in tables) for name in ("rows", "mapped", "archived", "rejected", "noted", "new")
    ]
    rows.append(("all", "", *total, "yes" if all(t.adds_up for t in tables) else "NO"))
    headings = ("store", "table", "rows", "mapped", "archived", "rejected", "with a note", "new this time", "adds up")
    parts = [table(headings, rows)]
    reasons = [
        (one.store, name, outcome, count, reason) for one in accounts for name, outcome, reason, count in one.reasons
    ]
    if reasons:
        parts.append(table(("store", "table", "outcome", "rows", "reason or note"), reasons))
    parts += [
        f"{one.store}.{t.table}: since it was mapped, {t.changed_since} rows changed and {t.gone_since} went from the"
        " file; that is not applied"
        for one in accounts
        for t in one.tables
        if t.changed_since or t.gone_since
    ]
    return "\n\n".join(parts)


def comparison(found: Sequence[TableComparison], lost: Sequence[str]) -> str:
    """Both sides, table by table; and the stores that were moved and whose files are gone."""
    rows = [
        (
            c.store,
            c.table,
            c.file_rows,
            c.landed_rows,
            c.rows_differing,
            c.mapped_rows,
            c.mapped_differing,
            c.kept_rows,
            c.kept_differing,
            c.unaccounted,
            c.gone,
            "yes" if c.equal else "NO",
        )
        for c in found
    ]
    headings = (
        *("store", "table", "in the file", "landed", "differ", "mapped", "differ", "kept", "differ"),
        *("not in the ledger", "gone from the file", "equal"),
    )
    gone = (f"NO FILE: {name} was moved, and its file is gone, or is that store no more" for name in lost)
    return "\n\n".join([table(headings, rows), *gone])
