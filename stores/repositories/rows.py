"""Between the database's rows and the models: column names, conditions, instances."""

# ruff: noqa: S608 - names in these statements are the models' own (`column` refuses others); values are bound.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

import asyncpg
from sqlalchemy.orm import configure_mappers
from sqlalchemy.orm.attributes import instance_state, manager_of_class

from stores.models import Model
from stores.moments import as_utc

M = TypeVar("M", bound=Model)

configure_mappers()  # a session would do it before its first row; here rows become models without one


@cache
def table(model: type[Model]) -> str:
    """The table's qualified name."""
    return str(model.__table__)


@cache
def column(model: type[Model], name: str) -> str:
    """The column of that name: `timestamp` and `metadata_` are other names for `ts` and `meta`.

    Raises ValueError for a name the model has not, so that nothing a caller passes on can become SQL.
    """
    synonyms = model.__mapper__.synonyms
    real = synonyms[name].name if name in synonyms else name
    if real not in model.__mapper__.columns:
        raise ValueError(f"{model.__tablename__} has no column {name}")
    return str(real)


@cache
def columns(model: type[Model]) -> str:
    """Every column, for SELECT and RETURNING."""
    return ", ".join(found.name for found in model.__table__.columns)


def argument(value: Any) -> Any:
    """The value as the protocol takes it: moments in UTC."""
    return as_utc(value) if isinstance(value, datetime) else value


@cache
def insertion(model: type[Model], names: tuple[str, ...]) -> str:
    """INSERT of those columns, without RETURNING."""
    if not names:
        return f"INSERT INTO {table(model)} DEFAULT VALUES"
    places = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    return f"INSERT INTO {table(model)} ({', '.join(column(model, name) for name in names)}) VALUES ({places})"


def instance(model: type[M], row: asyncpg.Record) -> M:
    """The row as a model, as a session would have loaded it and let go of it: `session.merge` takes it back."""
    made = manager_of_class(model).new_instance()
    made.__dict__.update(row.items())
    instance_state(made).key = model.__mapper__.identity_key_from_primary_key((row["id"],))
    return made


@dataclass
class Where:
    """Conditions and their arguments, in the order in which they are added."""

    model: type[Model]
    conditions: list[str] = field(default_factory=list)
    arguments: list[Any] = field(default_factory=list)

    def bind(self, value: Any) -> str:
        """Add an argument; its placeholder."""
        self.arguments.append(argument(value))
        return f"${len(self.arguments)}"

    def compare(self, name: str, sign: str, value: Any) -> Where:
        """`name sign value`."""
        self.conditions.append(f"{column(self.model, name)} {sign} {self.bind(value)}")
        return self

    def equal(self, filters: Mapping[str, Any] | None) -> Where:
        """Each column equal to its value, or among its values where that is a list."""
        for name, value in (filters or {}).items():
            found = column(self.model, name)
            if value is None:
                self.conditions.append(f"{found} IS NULL")
            elif isinstance(value, (list, tuple, set, frozenset)):
                among = f"{found} = ANY ({self.bind([argument(one) for one in value if one is not None])})"
                self.conditions.append(f"({among} OR {found} IS NULL)" if None in value else among)
            else:
                self.compare(name, "=", value)
        return self

    @property
    def sql(self) -> str:
        """The clause, or nothing."""
        return f" WHERE {' AND '.join(self.conditions)}" if self.conditions else ""


def order(model: type[Model], names: Sequence[str | None], *, desc: bool) -> str:
    """ORDER BY the names and then the id, so that the order is the same each time."""
    wanted = [column(model, name) for name in (*names, "id") if name]
    return " ORDER BY " + ", ".join(f"{name} DESC" if desc else name for name in dict.fromkeys(wanted))
