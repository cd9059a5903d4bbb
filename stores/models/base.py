"""What the models have in common: names, keys, and the columns' types."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from sqlalchemy import BigInteger, Boolean, Identity, Integer, MetaData, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from stores.moments import UtcTimestamp

SCHEMAS = ("tws", "context", "audit", "analytics", "learning", "metrics")

Json = dict[str, Any] | list[Any] | str | int | float | bool

now = Annotated[datetime, mapped_column(UtcTimestamp, nullable=False, server_default=func.now())]
"""When the row was written, by the server's clock."""

counter = Annotated[int, mapped_column(Integer, nullable=False, server_default=text("0"))]
"""A count that begins at 0."""

false = Annotated[bool, mapped_column(Boolean, nullable=False, server_default=text("false"))]
true = Annotated[bool, mapped_column(Boolean, nullable=False, server_default=text("true"))]


class Model(DeclarativeBase):
    """A row with a `bigint` id that the database gives out."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy reads it from the class
        str: Text,
        datetime: UtcTimestamp,
        dict[str, Any]: JSONB(none_as_null=True),
        Json: JSONB(none_as_null=True),
    }

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=False), primary_key=True, sort_order=-1)

    def to_dict(self) -> dict[str, Any]:
        """The row's columns by name; times as ISO 8601 text."""
        values = {column.key: getattr(self, column.key) for column in self.__mapper__.column_attrs}
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}
