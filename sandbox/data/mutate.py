"""Changing the source as its applications do: in T-SQL, over TDS, with the server's clock in mod_ts."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import mssql_python

from .tables import TOWNS

PER_STATEMENT = 200


@dataclass(frozen=True)
class Changes:
    """How many rows each kind of change touched."""

    inserted: int
    updated: int
    deleted: int


@dataclass(frozen=True)
class Recipe:
    """How one table is changed: the columns an insert gives, their values, the assignments of an update."""

    columns: str
    values: Callable[[random.Random], list[object]]
    assignments: str
    assigned: Callable[[random.Random], list[object]]


def _portfolio(draw: random.Random) -> list[object]:
    town, state = draw.choice(TOWNS)
    cpf, debtor = f"{draw.randrange(10**11):011}", draw.randrange(1, 10**10)
    balance, days = f"{draw.randrange(10**7) / 100:.2f}", draw.randrange(4000)
    return [cpf, debtor, draw.randrange(1, 320), town, state, balance, days, "0 a 30 dias", "2024-06-30"]


def _summary(draw: random.Random) -> list[object]:
    balance = f"{draw.randrange(10**9) / 100:.2f}"
    return [draw.randrange(1, 320), "CREDOR NOVO", "0 a 30 dias", draw.randrange(10**5), balance, draw.randrange(2)]


RECIPES = {
    "bi_credores": Recipe(
        "CPF, DEVEDOR_ID, CONT_ID, CIDADE, UF, SALDO, MAX_ATRASO, FAIXA_CREDOR, MIN_VENCIMENTO",
        _portfolio,
        "SALDO = CASE WHEN ABS(SALDO) > 1000000000 THEN SALDO ELSE ISNULL(SALDO, 0) / 2 + ? END,"
        " STATUS = ?, DESCRICAO = ?",
        lambda draw: ["1.25", draw.randrange(2), "Promessa de pagamento"],
    ),
    "resumo_faixas": Recipe(
        "CONT_ID, CREDOR, FAIXA_CREDOR, TOTAL_CONTRATO, SALDO_CONTRATO, STATUS",
        _summary,
        "TOTAL_CONTRATO = ?, DESC_STATUS = ?",
        lambda draw: [draw.randrange(10**5), "Renegociação"],
    ),
}


def mutate(connection: str, rows: int, seed: int, deletes: bool = True, table: str = "bi_credores") -> Changes:
    """Change about `rows` rows of a table: half updated, a third inserted, the rest deleted."""
    draw, recipe, name = random.Random(seed), RECIPES[table], f"dbo.{table}"
    with mssql_python.connect(connection) as link:
        cursor = link.cursor()
        cursor.execute(f"SELECT MIN(id), MAX(id) FROM {name}")
        found = cursor.fetchone()
        assert found is not None
        low, high = found
        deleted = rows // 6 if deletes else 0
        inserted = rows // 3
        done = Changes(
            _insert(cursor, draw, name, recipe, inserted),
            _update(cursor, draw, name, recipe, rows - inserted - deleted, low, high),
            _delete(cursor, draw, name, deleted, low, high),
        )
        link.commit()
    return done


def _insert(cursor: mssql_python.Cursor, draw: random.Random, name: str, recipe: Recipe, rows: int) -> int:
    count = 0
    places = ", ".join("?" for _ in recipe.columns.split(","))
    while count < rows:
        size = min(PER_STATEMENT, rows - count)
        values = [value for _ in range(size) for value in recipe.values(draw)]
        listed = ", ".join([f"({places}, SYSDATETIME())"] * size)
        cursor.execute(f"INSERT INTO {name} ({recipe.columns}, mod_ts) VALUES {listed}", values)
        count += cursor.rowcount
    return count


def _spans(draw: random.Random, rows: int, low: int, high: int) -> list[tuple[int, int]]:
    """Short runs of ids all over the table that hold at least `rows` rows together."""
    size = 25
    return [
        (start, start + size * 2)
        for start in (draw.randrange(low, max(low + 1, high - size * 2)) for _ in range(rows // size + 1))
    ]


def _update(
    cursor: mssql_python.Cursor, draw: random.Random, name: str, recipe: Recipe, rows: int, low: int, high: int
) -> int:
    count = 0
    for first, last in _spans(draw, rows, low, high):
        if count >= rows:
            break
        cursor.execute(
            f"UPDATE TOP (?) {name} SET {recipe.assignments}, mod_ts = SYSDATETIME() WHERE id BETWEEN ? AND ?",
            [min(25, rows - count), *recipe.assigned(draw), first, last],
        )
        count += cursor.rowcount
    return count


def _delete(cursor: mssql_python.Cursor, draw: random.Random, name: str, rows: int, low: int, high: int) -> int:
    count = 0
    for first, last in _spans(draw, rows, low, high):
        if count >= rows:
            break
        cursor.execute(f"DELETE TOP (?) FROM {name} WHERE id BETWEEN ? AND ?", [min(25, rows - count), first, last])
        count += cursor.rowcount
    return count
