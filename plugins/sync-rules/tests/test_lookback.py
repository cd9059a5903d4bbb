"""The arithmetic on cursor texts: exact to every digit."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sync_rules import lookback
from sync_rules.bookmarks import IncrementalBookmark

MOMENTS = st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31))
DIGITS = st.text("0123456789", max_size=7)


def text_of(moment: datetime, digits: str) -> str:
    return moment.replace(microsecond=0).isoformat() + (f".{digits}" if digits else "")


@given(moment=MOMENTS, digits=DIGITS, zone=st.sampled_from(["", "Z", "+00:00", "+0000"]))
def test_a_moment_is_read_with_any_number_of_digits(moment: datetime, digits: str, zone: str) -> None:
    expected = moment.replace(microsecond=int(f"{digits:0<6}"[:6]), tzinfo=timezone.utc if zone else None)
    assert lookback.moment_of(text_of(moment, digits) + zone) == expected


@given(moment=MOMENTS, digits=DIGITS, minutes=st.integers(0, 10_080))
def test_earlier_keeps_every_digit_of_the_second(moment: datetime, digits: str, minutes: int) -> None:
    found = str(lookback.earlier(text_of(moment, digits), timedelta(minutes=minutes)))
    assert found.partition(".")[2] == digits
    expected = (
        max(datetime(1, 1, 1), moment.replace(microsecond=0) - timedelta(minutes=minutes))
        if moment - datetime(1, 1, 1) > timedelta(minutes=minutes)
        else datetime(1, 1, 1)
    )
    assert datetime.fromisoformat(found.partition(".")[0]) == expected


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2025-06-01T12:00:00.1234567", "2025-06-01T11:30:00.1234567"),
        ("2025-06-01 12:00:00", "2025-06-01T11:30:00"),
        ("2025-06-01", "2025-05-31"),
        ("2025-06-01T12:00:00.5Z", "2025-06-01T11:30:00.5Z"),
        ("2025-06-01T12:00:00-03:00", "2025-06-01T11:30:00-03:00"),
        ("0001-01-01T00:10:00", "0001-01-01T00:00:00"),
        (42, 42),
    ],
)
def test_earlier(moment: str | int, expected: str | int) -> None:
    assert lookback.earlier(moment, timedelta(minutes=30)) == expected


@given(first=st.tuples(MOMENTS, DIGITS), second=st.tuples(MOMENTS, DIGITS))
def test_the_bookmark_never_goes_back(first: tuple[datetime, str], second: tuple[datetime, str]) -> None:
    """SPEC I2."""

    def exact(value: tuple[datetime, str]) -> tuple[datetime, str]:
        return value[0].replace(microsecond=0), value[1].ljust(7, "0")

    found = lookback.advance(text_of(*first), text_of(*second))
    assert found == (text_of(*second) if exact(second) > exact(first) else text_of(*first))


def test_offsets_are_compared_as_instants() -> None:
    assert lookback.advance("2025-06-01T12:00:00+00:00", "2025-06-01T10:00:00-03:00") == "2025-06-01T10:00:00-03:00"


def test_the_start_goes_back_by_what_the_zone_fell() -> None:
    """SPEC I8: bookmark before the clocks went back, this run after."""
    saved = IncrementalBookmark("2025-02-15T23:50:00", clock="2025-02-15T23:50:00", utc_offset_minutes=-120)
    assert lookback.start(saved, "2025-02-15T23:05:00", -180, timedelta(minutes=30)) == "2025-02-15T21:35:00"


def test_a_spring_forward_moves_nothing() -> None:
    saved = IncrementalBookmark("2025-02-15T23:50:00", clock="2025-02-15T23:55:00", utc_offset_minutes=-180)
    assert lookback.start(saved, "2025-02-16T01:05:00", -120, timedelta(minutes=30)) == "2025-02-15T23:20:00"
