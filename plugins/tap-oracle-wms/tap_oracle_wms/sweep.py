"""Which rows are in the target and no longer at the source: a walk over all ids of both, in flat memory.

    psql -Atc "COPY (SELECT id FROM allocation ORDER BY id DESC) TO STDOUT" \\
      | python -m tap_oracle_wms.sweep --entity allocation --against -

The API is asked for ids only. Without `--against` the API's own count is compared with the ids it answers. The
connection's settings come from the environment (TAP_ORACLE_WMS_...), or from `--config`. Exits with 0 when both sides
hold the same ids, or the count is that of the ids; with 7 when not. Rows that came after the last sync are `missing`
until the next one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np
import numpy.typing as npt
from sync_rules.exits import ConfigurationError, DataRefused, Exit, SyncError

from tap_oracle_wms.choices import KEY, choose
from tap_oracle_wms.discovery import describe
from tap_oracle_wms.source import EntitySource
from tap_oracle_wms.tap import TapOracleWms

Ids = npt.NDArray[np.int64]
_LINES_AT_ONCE = 50_000
_EXAMPLES = 10


@dataclass(frozen=True)
class Sweep:
    """What was found. `stale` are in the target only, `missing` at the source only; examples are the highest ids.

    Without a target's ids, which `target_rows` of None says, the API's count is compared with the ids it answered.
    """

    entity: str
    counted: int
    source_rows: int
    target_rows: int | None
    stale: int
    missing: int
    stale_examples: tuple[int, ...] = ()
    missing_examples: tuple[int, ...] = ()

    @property
    def same(self) -> bool:
        """Whether both sides hold the same ids; without a target, whether the API answered as many as it counts."""
        if self.target_rows is None:
            return self.counted == self.source_rows
        return not self.stale and not self.missing


def compare(source: Iterable[Ids], target: Iterable[Ids]) -> Iterator[tuple[Ids, Ids, Ids, Ids]]:
    """Step by step: (ids of the source, ids of the target, those only in the target, those only at the source).

    Both sides come in pieces, descending throughout. Only a piece of each is held at a time.
    """
    left, right = _pieces(source, "the source's"), _pieces(target, "the target's")
    mine, yours = next(left, None), next(right, None)
    while mine is not None or yours is not None:
        # Down to the higher of the two pieces' ends, both sides are known.
        ends = [int(piece[-1]) for piece in (mine, yours) if piece is not None]
        end = max(ends)
        here, mine = _cut(mine, end)
        there, yours = _cut(yours, end)
        # With assume_unique the order stays as it is, descending.
        yield here, there, np.setdiff1d(there, here, assume_unique=True), np.setdiff1d(here, there, assume_unique=True)
        mine = next(left, None) if mine is None else mine
        yours = next(right, None) if yours is None else yours


def sweep(
    entity: str,
    counted: int,
    source: Iterable[Ids],
    target: Iterable[Ids],
    stale_to: Callable[[Ids], None] | None = None,
) -> Sweep:
    """The report over all ids; each piece of stale ids also goes to `stale_to`."""
    rows = [0, 0, 0, 0]
    examples: tuple[list[int], list[int]] = ([], [])
    for found in compare(source, target):
        for number, ids in enumerate(found):
            rows[number] += len(ids)
        for some, ids in zip(examples, found[2:], strict=True):
            some.extend(ids[: _EXAMPLES - len(some)].tolist())
        if stale_to is not None:
            stale_to(found[2])
    here, there, stale, missing = rows
    return Sweep(entity, counted, here, there, stale, missing, tuple(examples[0]), tuple(examples[1]))


def ids_in(lines: TextIO) -> Iterator[Ids]:
    """Ids from text, one a line, in pieces. Raises DataRefused for what is no id."""
    while True:
        try:
            some = list(islice(lines, _LINES_AT_ONCE))
            found = np.array([int(line) for line in some if line.strip()], dtype=np.int64)
        except (ValueError, OverflowError) as error:  # a line that cannot be decoded is a ValueError, too
            raise DataRefused("a line of the target's ids is no id") from error
        if not some:
            return
        yield found


def source_ids(source: EntitySource) -> Iterator[Ids]:
    """The API's ids, in pieces."""
    for batch in source.ids():
        yield batch.column(KEY).to_numpy()


def _pieces(pieces: Iterable[Ids], whose: str) -> Iterator[Ids]:
    last: int | None = None
    for piece in pieces:
        if not len(piece):
            continue
        if (last is not None and piece[0] >= last) or bool(np.any(np.diff(piece) >= 0)):
            raise DataRefused(f"{whose} ids must descend and be there once each: ORDER BY {KEY} DESC")
        last = int(piece[-1])
        yield piece


def _cut(piece: Ids | None, end: int) -> tuple[Ids, Ids | None]:
    """The ids of at least `end`, and what is left below."""
    if piece is None:
        return np.empty(0, dtype=np.int64), None
    at = int(np.searchsorted(-piece, -end, "right"))
    return piece[:at], (piece[at:] if at < len(piece) else None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sweep; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tap_oracle_wms.sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--entity", required=True)
    parser.add_argument("--config", type=Path, help="the tap's settings as JSON")
    parser.add_argument("--against", help="file with the target's ids, one a line, descending; - for standard input")
    parser.add_argument("--stale-to", type=Path, help="file for every stale id")
    options = parser.parse_args(arguments)
    try:
        found = _run(options)
    except SyncError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return int(error.exit)
    print(json.dumps(asdict(found)))  # noqa: T201
    return int(Exit.FINISHED if found.same else Exit.CHECK_REFUSED)


def _run(options: argparse.Namespace) -> Sweep:
    given = _settings(options.config) if options.config else {}
    # Ids only, and in full, whatever a sync of the entity is set to.
    config = {**given, "entities": [options.entity], "tables": [], "sync_mode": "full", "fields": {options.entity: []}}
    tap = TapOracleWms(config=config, parse_env_config=True)
    client = tap.client()
    description = describe(client, options.entity, tap.config)
    choices = choose(description, {**tap.config, "cursor_column": KEY}, lambda column: column == KEY)
    source = EntitySource(options.entity, choices, tap.config, client, tap.logger)
    with closing(source), ExitStack() as files:
        counted = source.count()
        if not options.against:
            return _counted_and_answered(options.entity, source, counted)
        lines = sys.stdin if options.against == "-" else files.enter_context(_opened(Path(options.against), "r"))
        written = files.enter_context(_opened(options.stale_to, "w")) if options.stale_to else None
        return sweep(
            options.entity,
            counted,
            source_ids(source),
            ids_in(lines),
            lambda ids: None if written is None else written.writelines(f"{one}\n" for one in ids.tolist()),
        )


def _counted_and_answered(entity: str, source: EntitySource, counted: int) -> Sweep:
    """The API's count before or, since rows may have come and gone meanwhile, after the ids were read."""
    rows = sum(len(ids) for ids in source_ids(source))
    return Sweep(entity, counted if counted == rows else source.count(), rows, None, 0, 0)


def _settings(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{path} is no JSON object of settings") from error


def _opened(path: Path, mode: Literal["r", "w"]) -> TextIO:
    try:
        return path.open(mode, encoding="ascii")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
