"""Changing the source as its applications do: in T-SQL, over TDS, with the server's clock in mod_ts."""

from __future__ import annotations

import random
from dataclasses import dataclass

import mssql_python

from .tables import TOWNS

COLUMNS = "CPF, DEVEDOR_ID, CONT_ID, CIDADE, UF, SALDO, MAX_ATRASO, FAIXA_CREDOR, MIN_VENCIMENTO, mod_ts"
PER_STATEMENT = 200


@dataclass(frozen=True)
class Changes:
    """How many rows each kind of change touched."""

    inserted: int
    updated: int
    deleted: int


def mutate(connection: str, rows: int, seed: int, deletes: bool = True) -> Changes:
    """Change about `rows` rows of bi_credores: half updated, a third inserted, the rest deleted."""
    draw = random.Random(seed)
    with mssql_python.connect(connection) as link:
        cursor = link.cursor()
        cursor.execute("SELECT MIN(id), MAX(id) FROM dbo.bi_credores")
        found = cursor.fetchone()
        assert found is not None
        low, high = found
        deleted = rows // 6 if deletes else 0
        inserted = rows // 3
        done = Changes(
            _insert(cursor, draw, inserted),
            _update(cursor, draw, rows - inserted - deleted, low, high),
            _delete(cursor, draw, deleted, low, high),
        )
        link.commit()
    return done


def _insert(cursor: mssql_python.Cursor, draw: random.Random, rows: int) -> int:
    count = 0
    while count < rows:
        size = min(PER_STATEMENT, rows - count)
        places = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?, ?, SYSUTCDATETIME())"] * size)
        values: list[object] = []
        for _ in range(size):
            town, state = draw.choice(TOWNS)
            values += [
                f"{draw.randrange(10**11):011}",
                draw.randrange(1, 10**10),
                draw.randrange(1, 320),
                town,
                state,
                f"{draw.randrange(10**7) / 100:.2f}",
                draw.randrange(4000),
                "0 a 30 dias",
                "2024-06-30",
            ]
        cursor.execute(f"INSERT INTO dbo.bi_credores ({COLUMNS}) VALUES {places}", values)
        count += cursor.rowcount
    return count


def _spans(draw: random.Random, rows: int, low: int, high: int) -> list[tuple[int, int]]:
    """Short runs of ids all over the table that hold at least `rows` rows together."""
    size = 25
    return [
        (start, start + size * 2)
        for start in (draw.randrange(low, max(low + 1, high - size * 2)) for _ in range(rows // size + 1))
    ]


def _update(cursor: mssql_python.Cursor, draw: random.Random, rows: int, low: int, high: int) -> int:
    count = 0
    for first, last in _spans(draw, rows, low, high):
        if count >= rows:
            break
        cursor.execute(
            "UPDATE TOP (?) dbo.bi_credores SET SALDO = ISNULL(SALDO, 0) / 2 + ?, STATUS = ?, DESCRICAO = ?,"
            " mod_ts = SYSUTCDATETIME() WHERE id BETWEEN ? AND ? AND (SALDO IS NULL OR ABS(SALDO) < 1000000000)",
            [min(25, rows - count), "1.25", draw.randrange(2), "Promessa de pagamento", first, last],
        )
        count += cursor.rowcount
    return count


def _delete(cursor: mssql_python.Cursor, draw: random.Random, rows: int, low: int, high: int) -> int:
    count = 0
    for first, last in _spans(draw, rows, low, high):
        if count >= rows:
            break
        cursor.execute(
            "DELETE TOP (?) FROM dbo.bi_credores WHERE id BETWEEN ? AND ?", [min(25, rows - count), first, last]
        )
        count += cursor.rowcount
    return count
