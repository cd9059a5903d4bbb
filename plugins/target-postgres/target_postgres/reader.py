"""Singer's lines read and looked at, before anything is done for them."""

from __future__ import annotations

import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import IO, Any, cast

from singer_sdk.io_base import SingerReader
from sync_rules.exits import SyncError

from target_postgres.encode import NUMERIC_DIGITS, loads

FIELDS: dict[str, dict[str, type[Any] | tuple[type[Any], ...]]] = {
    "SCHEMA": {"stream": str, "schema": dict, "key_properties": (list, type(None))},
    "RECORD": {"stream": str, "record": dict},
    "BATCH": {"stream": str, "encoding": dict, "manifest": list},
    "STATE": {"value": (dict, type(None))},
    "ACTIVATE_VERSION": {"stream": str, "version": int},
}
"""What each kind of message has to hold."""


class Reader(SingerReader):
    """Reads lines without showing one: the SDK's reader logs a line that is no JSON, values and all."""

    def process_lines(
        self, file_input: IO[str] | None, callbacks: dict[str, Callable[[dict[str, Any]], None]]
    ) -> Counter[str]:
        """As the SDK does, by JSON's own encoding, UTF-8: the locale's may read every byte as some other letter."""
        lines = file_input or self.default_input
        if hasattr(sys, "set_int_max_str_digits"):  # Python's own limit came with 3.10.7
            sys.set_int_max_str_digits(NUMERIC_DIGITS)
        if isinstance(lines, io.TextIOWrapper):
            lines.reconfigure(encoding="utf-8", errors="strict")
        return super().process_lines(cast("IO[str]", _decoded(lines)), callbacks)

    def deserialize_json(self, line: str) -> dict[str, Any]:
        """A line as a message, its decimals exact."""
        try:
            message: dict[str, Any] = loads(line)
        except json.JSONDecodeError as error:
            raise SyncError(
                f"a line of the input is not JSON: {type(error).__name__}, {len(line)} characters"
            ) from None
        except ValueError:
            raise SyncError("a line of the input has a number of more digits than PostgreSQL holds") from None
        if not isinstance(message, dict):
            raise SyncError("a line of the input is not a JSON object")
        _check_fields(message)
        return message


def _decoded(lines: IO[str]) -> Iterator[str]:
    try:
        yield from lines
    except UnicodeDecodeError:
        raise SyncError("a line of the input is not UTF-8, which JSON is written in") from None


def _check_fields(message: dict[str, Any]) -> None:
    """Raise SyncError where a message lacks what it needs: later on it would be met as some error of Python's."""
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in FIELDS:
        raise SyncError("a line of the input is of none of Singer's types")
    for field, types in FIELDS[kind].items():
        if not isinstance(message.get(field), types):
            raise SyncError(f"a {kind} line of the input has no {field}, or one of another kind than it has to be")
    if kind == "BATCH" and not all(
        isinstance(said, str) for said in (message["encoding"].get("format"), *message["manifest"])
    ):
        raise SyncError(
            "a BATCH line of the input has an encoding without a format, or a manifest of other than addresses"
        )
    if kind == "SCHEMA":
        properties = message["schema"].get("properties")
        if not isinstance(properties, dict) or not all(isinstance(given, dict) for given in properties.values()):
            raise SyncError(f"the SCHEMA of stream {message['stream']} has no properties, or one that is no object")
