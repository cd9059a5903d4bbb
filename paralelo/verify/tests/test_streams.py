"""Blocks of two streams: everything once, keys together, few rows at a time."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paralelo.verify import merging, partitions, scratch
from paralelo.verify.prefetch import prefetched

PAIRS = pa.schema([("k", pa.int64()), ("d", pa.decimal128(38, 2)), ("v", pa.large_string())])
KEYS = st.tuples(st.integers(-5, 5), st.integers(-300, 300).map(lambda n: Decimal(n).scaleb(-2)))
ROWS = st.lists(st.tuples(KEYS, st.sampled_from(["a", "b"])), max_size=40)


def batches(rows: Any, size: Any) -> Any:
    columns = [[key[0] for key, _ in rows], [key[1] for key, _ in rows], [value for _, value in rows]]
    return iter(pa.table(dict(zip(PAIRS.names, columns, strict=True)), PAIRS).to_batches(max_chunksize=size))


def check(blocks: Any, left: Any, right: Any, key: Any) -> None:
    seen: list[Counter[Any]] = [Counter(), Counter()]
    places: dict[Any, int] = {}
    for number, pair in enumerate(blocks):
        for side, table in enumerate(pair):
            for row in table.to_pylist():
                seen[side][tuple(row.values())] += 1
                assert places.setdefault(tuple(row[name] for name in key), number) == number
    for side, rows in enumerate((left, right)):
        assert seen[side] == Counter((key[0], key[1], value) for key, value in rows)


@given(ROWS.map(sorted), ROWS.map(sorted), st.integers(1, 5), st.integers(1, 5), st.integers(1, 9))
def test_merging_two_streams_in_key_order(left: Any, right: Any, one: Any, other: Any, ahead: Any) -> None:
    before = merging._BLOCK_ROWS
    merging._BLOCK_ROWS = ahead
    try:
        found = merging.blocks(batches(left, one), batches(right, other), PAIRS, ["k", "d"])
        check(found, left, right, ["k", "d"])
    finally:
        merging._BLOCK_ROWS = before


@given(ROWS, ROWS, st.integers(1, 5), st.integers(1, 7), st.sampled_from([1, 500, 10**6]))
def test_laying_rows_out_by_their_key(left: Any, right: Any, size: Any, count: Any, held: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partitions, "_HELD_BYTES", held)
        found = partitions.blocks(batches(left, size), batches(right, size + 1), PAIRS, ["k", "d"], partitions=count)
        check(found, left, right, ["k", "d"])


def test_more_partitions_than_files_may_be_open() -> None:
    rows = [((number, Decimal(0)), "a") for number in range(2_000)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 20, hard))
    try:
        check(
            partitions.blocks(batches(rows, 50), batches(rows, 70), PAIRS, ["k"], partitions=1_000), rows, rows, ["k"]
        )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


_HOLDER = """
import sys
from paralelo.verify import scratch
with scratch.folder() as folder:
    (folder / "rows").write_text("a value")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_comparison_left_goes_and_what_lives_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    command, env = [sys.executable, "-c", _HOLDER], {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as holder:
        assert holder.stdout is not None
        held = Path(holder.stdout.readline().strip())
        with scratch.folder() as own:
            assert {held, own} == set(tmp_path.iterdir())
            assert (held / "rows").exists()
        holder.kill()
    with scratch.folder() as own:
        assert [own] == list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


_STUCK = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from paralelo.verify import cli, scratch

def wait():
    with scratch.folder() as folder:
        print(folder, flush=True)
        threading.Event().wait()

def verify(*_, **__):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(wait).result()

cli.verify = verify
sys.exit(cli.main(["all"]))
"""


def _heed_all() -> None:
    """Whoever runs the tests may ignore some of them, as `nohup` does, and a child would too."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("before", "sent", "code"),
    [([], [signal.SIGINT], 130), ([], [signal.SIGTERM], 143), ([], [signal.SIGHUP], 129),
     (["nohup"], [signal.SIGHUP, signal.SIGTERM], 143)],
)  # fmt: skip
def test_a_signal_ends_it_at_once_whatever_a_server_is_waited_for(
    tmp_path: Path, before: list[str], sent: list[int], code: int
) -> None:
    command, env = [*before, sys.executable, "-c", _STUCK], {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, preexec_fn=_heed_all) as stuck:
        assert stuck.stdout is not None
        folder = Path(stuck.stdout.readline().strip())
        assert folder.exists()
        for signum in sent:
            stuck.send_signal(signum)
        try:
            assert stuck.wait(30) == code
        finally:
            stuck.kill()
    assert not list(tmp_path.iterdir())


def test_equal_values_have_equal_hashes_wherever_they_lie_in_memory() -> None:
    schema = {
        "t": (pa.large_string(), ["", "é" * 30, None, "a"]),
        "b": (pa.large_binary(), [b"\0", b"", None, b"xyz"]),
        "u": (pa.binary(16), [bytes(range(16)), None, b"\xff" * 16, bytes(16)]),
        "i": (pa.int64(), [-1, 0, None, 2**63 - 1]),
        "z": (pa.timestamp("us", tz="UTC"), [datetime(2020, 1, 1, tzinfo=timezone.utc), None, None, None]),
        "d": (pa.date32(), [date(1969, 12, 31), None, date(9999, 12, 31), date(1, 1, 1)]),
        "n": (pa.decimal128(38, 2), [Decimal("-0.01"), None, Decimal(0), Decimal("9" * 36)]),
        "o": (pa.bool_(), [True, None, False, True]),
    }
    whole = pa.record_batch([pa.array(v, kind) for kind, v in schema.values()], names=list(schema))
    expected = partitions.hashes(whole, whole.schema.names)
    assert len(set(expected.tolist())) == 4
    for row in range(4):
        for copy in (whole.slice(row, 1), whole.take(pa.array([row]))):
            assert partitions.hashes(copy, whole.schema.names)[0] == expected[row]


def test_a_partition_is_spread_evenly() -> None:
    batch = pa.record_batch([pa.array(range(20_000), pa.int64())], names=["k"])
    counts = Counter((partitions.hashes(batch, ["k"]) % 16).tolist())
    assert len(counts) == 16
    assert min(counts.values()) > 20_000 / 16 * 0.8


def test_an_error_of_the_reader_reaches_the_consumer() -> None:
    def failing() -> Any:
        yield 1
        raise OSError("gone")

    with prefetched(failing()) as items:
        assert next(items) == 1
        with pytest.raises(OSError, match="gone"):
            next(items)


def test_leaving_early_closes_the_reader() -> None:
    closed = []

    def endless() -> Any:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    with prefetched(endless()) as items:
        next(items)
    assert closed == [True]
