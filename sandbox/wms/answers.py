"""The stand-in's answers: a page from the row file or from the database, and the same page with a fault in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sandbox.wms.describe import error
from sandbox.wms.entities import Entity
from sandbox.wms.faults import Fault
from sandbox.wms.lists import ListRequest, understand
from sandbox.wms.row_file import RowFile
from sandbox.wms.store import Store

_JSON = "application/json"


@dataclass(frozen=True)
class Answer:
    """A status, headers and the parts of the body, which are written one after the other."""

    status: int
    parts: tuple[bytes | memoryview, ...]
    content_type: str = _JSON
    headers: tuple[tuple[str, str], ...] = ()
    dated: bool = True

    @classmethod
    def of(cls, status: int, content: object) -> Answer:
        """JSON of a value."""
        return cls(status, (json.dumps(content).encode(),))

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return sum(len(part) for part in self.parts)

    def with_header(self, name: str, value: str) -> Answer:
        """The same with one header more."""
        return replace(self, headers=(*self.headers, (name, value)))

    def content(self) -> Any:
        """The body as a value."""
        return json.loads(b"".join(self.parts))


def list_answer(store: Store, file: RowFile, entity: Entity, parameters: Mapping[str, str], address: str) -> Answer:
    """A page of a list. Raises Refused for a request the API does not understand."""
    request = understand(entity, parameters)
    bounds = request.id_bounds
    found = file.page(*bounds, request.size) if bounds is not None else None
    if found is not None:
        rows, count, _, more = found
        head = _head(store, request, address, more)
        return _page(head, rows) if count else _nothing()
    texts = [row[0] for row in store.ask(request.sql(), request.values)]
    more = len(texts) > request.size
    texts = texts[: request.size]
    if not texts:
        return _nothing()
    return _page(_head(store, request, address, more), ",".join(texts).encode())


def _head(store: Store, request: ListRequest, address: str, more: bool) -> dict[str, Any]:
    head: dict[str, Any] = {}
    if request.paged:
        count = int(store.ask(request.count_sql(), request.values)[0][0])
        head = {
            "result_count": count,
            "page_count": -(-count // request.size),
            "page_nbr": request.place // request.size + 1,
        }
    head["next_page"] = f"{address}?{request.next_query()}" if more else None
    head["previous_page"] = None
    return head


def _page(head: Mapping[str, Any], rows: bytes | memoryview) -> Answer:
    start = json.dumps(head)[:-1].encode() + b', "results": ['
    return Answer(200, (start, rows, b"]}"))


def _nothing() -> Answer:
    return Answer.of(404, error("NOT_FOUND", "No results found for the given criteria"))


def bent(answer: Answer, before: Answer | None, fault: Fault | None, address: str) -> Answer:
    """The answer to the request for `address` (query and all) with the fault in it."""
    if fault is not None and fault.kind == "undated":
        return replace(answer, dated=False)
    if fault is None or fault.kind in ("slow", "cut") or answer.status != 200:
        return answer
    if fault.kind == "html":
        return Answer(200, (b"<html><body>Service is starting</body></html>",), "text/html")
    if fault.kind == "excuse":
        return Answer.of(200, {"message": "The system is being upgraded"})
    if fault.kind == "nothing":
        return _nothing()
    if fault.kind == "gateway":
        return Answer.of(404, {"message": "no Route matched with those values"})
    if fault.kind == "half":
        body = b"".join(answer.parts)
        return Answer(200, (body[: len(body) // 2],))
    if fault.kind == "repeat":
        return before or answer
    content = answer.content()
    if fault.kind == "reordered":
        return Answer.of(200, {**content, "fields": dict(reversed(content["fields"].items()))})
    rows = content["results"]
    if fault.kind == "foreign":
        content["next_page"] = "https://elsewhere.example/wms/lgfapi/v10/entity/allocation/?cursor=x"
    elif fault.kind == "circle":
        content["next_page"] = address
    elif fault.kind == "unsorted":
        rows.reverse()
    elif fault.kind == "short":
        rows.pop()
        content["next_page"] = None
    elif fault.kind == "endless":
        del content["next_page"]
    elif fault.kind == "empty":
        content["results"] = []
        content["next_page"] = content["next_page"] or "?"
    elif fault.kind == "rename":
        for row in rows:
            row["renamed"] = row.pop(next(reversed(row)))
    elif fault.kind == "extra":
        for row in rows:
            row["cust_field_1"] = "x"
    elif fault.kind == "overfull":
        rows.extend([rows[0], rows[0]])
    return Answer.of(200, content)
