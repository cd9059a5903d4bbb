"""What a list request asks for, and the SQL that answers it: filters, ordering, fields, and the place to start at."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from sandbox.wms.entities import Entity, Field
from sandbox.wms.store import json_of, key_of

MAX_PAGE_SIZE = 1250
_OWN = {"page_size", "page", "page_mode", "ordering", "fields", "cursor", "format"}
_COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "": "="}


class Refused(Exception):
    """A request the API answers with an error: status and the words it uses."""

    def __init__(self, status: int, message: str, details: object = None) -> None:
        super().__init__(message)
        self.status = status
        self.details = details


@dataclass(frozen=True)
class ListRequest:
    """One list request, understood. `place` is how many rows to skip: the page number's, or the cursor's."""

    entity: Entity
    parameters: Mapping[str, str]
    where: str
    values: tuple[Any, ...]
    ordering: tuple[tuple[str, bool], ...]
    fields: tuple[Field, ...]
    size: int
    paged: bool
    place: int

    @property
    def id_bounds(self) -> tuple[int | None, int | None] | None:
        """(id below, id at least) when the request is for whole rows by descending id and nothing else, else None."""
        plain = self.ordering == (("id", True),) and len(self.fields) == len(self.entity.fields)
        if not plain or self.place or self.paged:
            return None
        below: int | None = None
        at_least: int | None = None
        for name, value in self.parameters.items():
            if name in _OWN:
                continue
            if name == "id__lt":
                below = int(value)
            elif name == "id__gte":
                at_least = int(value)
            else:
                return None
        return below, at_least

    def sql(self) -> str:
        """The page and one row more, as JSON text and id."""
        order = ", ".join(f'"{name}" {"DESC" if down else "ASC"}' for name, down in self.ordering)
        # Rows that the ordering does not tell apart come in an order of no meaning, another one for each request size.
        order = f"ORDER BY {order}, hash(id, {self.place})" if order else f"ORDER BY hash(id, {self.place})"
        written = json_of(self.entity, self.fields, f"/wms/lgfapi/v10/entity/{self.entity.name}/")
        table = f'"{self.entity.name}"'
        page = f"SELECT * FROM {table} {self.where} {order} LIMIT {self.size + 1} OFFSET {self.place}"
        return f"SELECT {written} FROM ({page}) {order}"

    def count_sql(self) -> str:
        """How many rows the filters leave."""
        return f'SELECT count(*) FROM "{self.entity.name}" {self.where}'

    def next_query(self) -> str:
        """The query of `next_page`."""
        parameters = dict(self.parameters)
        if self.paged:
            parameters["page"] = str(self.place // self.size + 2)
        else:
            parameters["cursor"] = base64.urlsafe_b64encode(json.dumps([self.place + self.size]).encode()).decode()
        return urlencode(parameters)


def understand(entity: Entity, parameters: Mapping[str, str]) -> ListRequest:
    """Read the parameters. Raises Refused for what the API does not know."""
    size = _number(parameters, "page_size", 125)
    if not 1 <= size <= MAX_PAGE_SIZE:
        raise Refused(400, f"page_size must be between 1 and {MAX_PAGE_SIZE}", {"page_size": size})
    mode = parameters.get("page_mode", "paged")
    if mode not in ("paged", "sequenced"):
        raise Refused(400, "page_mode must be paged or sequenced")
    conditions, values = [], []
    for name, value in parameters.items():
        if name not in _OWN:
            condition, bound = _filter(entity, name, value)
            conditions.append(condition)
            values.extend(bound)
    request = ListRequest(
        entity=entity,
        parameters=parameters,
        where=f"WHERE {' AND '.join(conditions)}" if conditions else "",
        values=tuple(values),
        ordering=tuple(_ordering(entity, name) for name in _listed(parameters, "ordering")),
        fields=tuple(_field(entity, name) for name in _listed(parameters, "fields")) or entity.fields,
        size=size,
        paged=mode == "paged",
        place=0,
    )
    return replace(request, place=_place(request))


def _place(request: ListRequest) -> int:
    if request.paged:
        return (_number(request.parameters, "page", 1) - 1) * request.size
    cursor = request.parameters.get("cursor")
    if not cursor:
        return 0
    try:
        return int(json.loads(base64.urlsafe_b64decode(cursor))[0])
    except (binascii.Error, ValueError, IndexError, TypeError) as error:
        raise Refused(400, "Invalid cursor") from error


def _number(parameters: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(parameters.get(name, default))
    except ValueError as error:
        raise Refused(400, f"{name} must be a number") from error


def _listed(parameters: Mapping[str, str], name: str) -> list[str]:
    return [part for part in parameters.get(name, "").split(",") if part]


def _field(entity: Entity, name: str) -> Field:
    if name not in entity.by_name:
        raise Refused(400, f"{name} is no field of {entity.name}", {"field": name})
    return entity.by_name[name]


def _ordering(entity: Entity, name: str) -> tuple[str, bool]:
    return _field(entity, name.removeprefix("-")).name, name.startswith("-")


def _filter(entity: Entity, name: str, value: str) -> tuple[str, list[Any]]:
    """SQL and its values for one filter: `field__operator`, or `relation__key`."""
    first, _, rest = name.partition("__")
    field = _field(entity, first)
    column = f'"{field.name}"'
    if field.type == "relation" and rest.partition("__")[0] in ("key", "code", "id"):
        attribute, _, rest = rest.partition("__")
        if attribute != "id":
            column = f"({key_of(field)})"
            field = replace(field, type="varchar")
    if rest == "isnull":
        return f"{column} IS {'' if value.lower() in ('true', '1') else 'NOT '}NULL", []
    if rest == "in":
        parts = [_bound(field, part) for part in value.split(",")]
        return f"{column} IN ({', '.join('?' for _ in parts)})", parts
    if rest == "range":
        low, _, high = value.partition(",")
        return f"{column} BETWEEN ? AND ?", [_bound(field, low), _bound(field, high)]
    if rest in ("contains", "startswith"):
        return f"{rest if rest == 'contains' else 'starts_with'}({column}::VARCHAR, ?)", [value]
    if rest in _COMPARISONS:
        return f"{column} {_COMPARISONS[rest]} ?", [_bound(field, value)]
    raise Refused(400, f"{name} is no filter of {entity.name}", {"parameter": name})


def _bound(field: Field, value: str) -> object:
    """A filter's value in the column's own type; times become UTC, naive ones are taken in the facility's zone."""
    from datetime import datetime, timedelta, timezone

    try:
        if field.type in ("pk", "integer", "relation", "set"):
            return int(value)
        if field.type == "boolean":
            return value.lower() in ("true", "1")
        if field.type == "datetime":
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=timezone(timedelta(hours=-3)))
            return moment.astimezone(timezone.utc).replace(tzinfo=None)
    except ValueError as error:
        raise Refused(400, f"the value of {field.name} is no {field.type}", {field.name: value}) from error
    return value
