"""The tables that are copied, and the job that copies each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """`name` is the source's table in dbo and the target's."""

    name: str
    job: str
    columns: int


TABLES = {
    table.name: table
    for table in (
        Table("bi_credores", "bi-credores", 40),
        Table("resumo_faixas", "resumo-faixas", 19),
    )
}
