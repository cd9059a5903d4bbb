"""Rows that are left out because a value is not of its column's type: counted, named by their keys, bounded."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sync_rules.exits import ConfigurationError, DataRefused

from tap_sqlite.values import Rejected

_SHOWN = 20


class Rejects:
    """The rejected rows of one run. With a `file`, each is a line of JSON in it: table, key, column, what is stored.

    A value is never written down: it is still in the source.
    """

    def __init__(self, limit: int, log: logging.Logger, file: Path | None = None) -> None:
        self._limit = limit
        self._log = log
        self._file = file
        self.count = 0
        self._earlier = 0

    def add(self, table: str, found: Sequence[tuple[tuple[Any, ...], Rejected]]) -> None:
        """Note rejected rows.

        Raises DataRefused once there are more than the limit, ConfigurationError for a file that cannot be written.
        """
        for key, one in found:
            self.count += 1
            where = ", ".join(map(str, key))
            if self.count <= _SHOWN:
                self._log.warning(
                    "%s: row %s rejected: %s holds %s, not %s", table, where, one.column, one.stored, one.wanted
                )
        if self._file is not None:
            try:
                self._write(self._file, table, found)
            except OSError as error:
                raise ConfigurationError(f"reject_file {self._file} cannot be written: {error.strerror}") from error
        self._check(table)

    @staticmethod
    def _write(file: Path, table: str, found: Sequence[tuple[tuple[Any, ...], Rejected]]) -> None:
        with file.open("a", encoding="utf-8") as lines:
            for key, one in found:
                about = {"table": table, "key": list(key), "column": one.column}
                lines.write(json.dumps({**about, "stored": one.stored, "type": one.wanted}) + "\n")

    def go_on(self, table: str, earlier: int) -> None:
        """Rows that earlier runs of the same sync left out count too. Raises DataRefused as `add` does."""
        self._earlier = earlier
        self._check(table)

    def _check(self, table: str) -> None:
        total = self._earlier + self.count
        if total > self._limit:
            raise DataRefused(
                f"{table}: {total} rows hold values that are not of their column's type, max_rejects is"
                f" {self._limit}: raise it, set column_types, or set off_type_values to json"
            )

    def report(self, table: str) -> None:
        """The count, where there is one."""
        if self.count:
            self._log.warning("%s: %s rows rejected in this run", table, self.count)
            self.count = 0
