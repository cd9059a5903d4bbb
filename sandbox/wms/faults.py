"""Faults on demand: which requests go wrong, and how."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KINDS = {
    "status": "answer with `status`, in the API's error form; `retry_after` adds that header",
    "echo": "answer 400 with the request's Authorization and the user's password in the message",
    "redirect": "answer 302 with `location`",
    "html": "answer 200 with a page of HTML",
    "excuse": "answer 200 with a message where something else was asked for",
    "half": "cut the JSON in the middle, with a Content-Length that fits",
    "cut": "close the connection in the middle of the answer",
    "reset": "close the connection without an answer",
    "slow": "wait `seconds` before answering",
    "repeat": "answer the page of the request before",
    "circle": "let next_page lead back to the page itself",
    "foreign": "let next_page name another host",
    "unsorted": "answer the rows in reverse order",
    "short": "leave out the last row but say that nothing follows",
    "endless": "answer a page without the key next_page",
    "gateway": "answer 404 as a gateway before the API does",
    "empty": "answer an empty list that has a next_page",
    "rename": "answer a field under another name",
    "extra": "answer a field that describe does not name",
    "reordered": "answer describe's fields in reverse order",
    "nothing": "answer 404 in the API's own form, as for an empty list",
    "undated": "answer without a Date header",
    "overfull": "answer the first row twice more",
}


@dataclass(frozen=True)
class Fault:
    """One rule: `kind` for requests whose path holds `path` and whose query holds `query`.

    Requests that match are counted; the first `skip` are let through, then every `every`th goes wrong, `times` in all.
    """

    kind: str
    path: str = "/entity/"
    query: str = ""
    skip: int = 0
    every: int = 1
    times: int = 1
    status: int = 500
    retry_after: str | None = None
    location: str = ""
    seconds: float = 0.0

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Fault:
        """From a dict. Raises ValueError for what is no fault."""
        if given.get("kind") not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}")
        try:
            return cls(**given)
        except TypeError as error:
            raise ValueError(str(error)) from error


class Faults:
    """The rules in force and how often each was met."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[tuple[Fault, list[int]]] = []

    def set(self, rules: list[Fault]) -> None:
        """Replace all rules."""
        with self._lock:
            self._rules = [(rule, [0, 0]) for rule in rules]

    def next(self, path: str, query: str) -> Fault | None:
        """The fault this request meets."""
        with self._lock:
            for rule, counts in self._rules:
                if rule.path not in path or rule.query not in query:
                    continue
                counts[0] += 1
                if counts[0] > rule.skip and (counts[0] - rule.skip) % rule.every == 0 and counts[1] < rule.times:
                    counts[1] += 1
                    return rule
        return None
