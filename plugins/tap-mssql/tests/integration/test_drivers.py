"""The other drivers hand on what the proven one does: random values of each type, to the last digit."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from typing import Any

import pytest

ROWS, SEED = 60, 20261128
EMPTY = range(28, 44)
PLAIN = string.ascii_letters + string.digits + " \t\n'çãÿ€\u2018\u2013™"
WIDE = PLAIN + "漢日\u200b\ufeff\u0301😀\U0001d54f\U0010fffd"

draw = random.Random(SEED)


def text(length: int, wide: bool = False) -> str:
    """A literal of up to so many characters, or UTF-16 units: often none, often all."""
    value = "".join(draw.choices(WIDE if wide else PLAIN, k=draw.choice((0, 1, length // 2, length))))
    while len(value.encode("utf-16-le")) > 2 * length:
        value = value[:-1]
    return ("N'" if wide else "'") + value.replace("'", "''") + "'"


def whole(low: int, high: int) -> str:
    return str(draw.choice((low, high, 0, 1, draw.randint(low, high))))


def decimal(precision: int, scale: int) -> str:
    digits = str(draw.choice((0, 1, 10**precision - 1, draw.randrange(10**precision)))).zfill(scale + 1)
    at = len(digits) - scale
    return draw.choice(("", "-")) + digits[:at] + ("." + digits[at:] if scale else "")


def clock(scale: int) -> str:
    digits = draw.choice(("0" * scale, "9" * scale, "".join(draw.choices(string.digits, k=scale))))
    return f"{draw.choice((0, 23))}:{draw.randint(0, 59):02}:{draw.randint(0, 59):02}" + ("." + digits if scale else "")


def date(first: int = 1) -> str:
    return f"{draw.choice((first, 1900, 1970, 2024, 9998)):04}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}"


def offset() -> str:
    minutes = draw.choice((0, 330, 840, draw.randint(0, 840)))
    return f"{draw.choice('+-')}{minutes // 60:02}:{minutes % 60:02}"


def binary(length: int) -> str:
    return "0x" + draw.randbytes(draw.choice((1, length))).hex()


DRAWS: dict[str, Callable[[], str]] = {
    "bit": lambda: draw.choice("01"),
    "tinyint": lambda: whole(0, 255),
    "smallint": lambda: whole(-(2**15), 2**15 - 1),
    "int": lambda: whole(-(2**31), 2**31 - 1),
    "bigint": lambda: whole(-(2**63), 2**63 - 1),
    "decimal(1,0)": lambda: decimal(1, 0),
    "decimal(9,2)": lambda: decimal(9, 2),
    "decimal(19,4)": lambda: decimal(19, 4),
    "decimal(28,10)": lambda: decimal(28, 10),
    "decimal(38,0)": lambda: decimal(38, 0),
    "decimal(38,38)": lambda: f"'{decimal(38, 38)}'",
    "money": lambda: draw.choice(("-922337203685477.5808", "922337203685477.5807", decimal(18, 4))),
    "smallmoney": lambda: draw.choice(("-214748.3648", "214748.3647", decimal(9, 4))),
    "float": lambda: draw.choice(("1.7976931348623157e308", "-5e-324", repr(draw.gauss(0, 1) * 1e9))),
    "real": lambda: draw.choice(("3.4028235e38", "0.1", f"{draw.uniform(-1e5, 1e5):.7g}")),
    "date": lambda: f"'{date()}'",
    "datetime": lambda: f"'{date(1753)}T{clock(0)}.{draw.choice(('000', '003', '007', '997'))}'",
    "smalldatetime": lambda: f"'2024-{draw.randint(1, 12):02}-01T{draw.randint(0, 23):02}:59:00'",
    **{f"time({n})": lambda n=n: f"'{clock(n)}'" for n in (0, 3, 7)},  # type: ignore[misc]
    **{f"datetime2({n})": lambda n=n: f"'{date()}T{clock(n).zfill(8)}'" for n in (0, 3, 7)},  # type: ignore[misc]
    **{f"datetimeoffset({n})": lambda n=n: f"'{date(2)} {clock(n)} {offset()}'" for n in (0, 7)},  # type: ignore[misc]
    "char(7)": lambda: text(7),
    "varchar(50)": lambda: text(50),
    "nchar(7)": lambda: text(7, wide=True),
    "nvarchar(400)": lambda: text(400, wide=True),
    "nvarchar(max)": lambda: f"REPLICATE(CAST({text(9, wide=True)} AS nvarchar(max)), {draw.choice((1, 3, 900))})",
    "varchar(max)": lambda: f"REPLICATE(CAST({text(9)} AS varchar(max)), {draw.choice((1, 3, 2000))})",
    "binary(9)": lambda: binary(9),
    "varbinary(300)": lambda: binary(300),
    "varbinary(max)": lambda: binary(5000),
    "uniqueidentifier": lambda: "'" + "-".join(draw.randbytes(n).hex() for n in (4, 2, 2, 2, 6)) + "'",
    "xml": lambda: f"'<a>{draw.randint(0, 9)}</a>'",
}


@pytest.mark.parametrize("large", [False, True], ids=["bounded", "with-max"])
def test_all_read_the_same_values(source: Any, table: Any, large: bool) -> None:
    """SPEC V1: values without a bound are read another way. A whole fetch holds NULLs alone."""
    kinds = [kind for kind in DRAWS if large or not ("max" in kind or kind == "xml")]
    rows = [
        f"({n}, {', '.join('NULL' if n in EMPTY or draw.random() < 0.2 else DRAWS[kind]() for kind in kinds)})"
        for n in range(ROWS)
    ]
    columns = ", ".join(f"v{number} {kind} NULL" for number, kind in enumerate(kinds))
    table("dbo.drawn", f"id int NOT NULL PRIMARY KEY, {columns}", *rows)
    proven, *others = (
        source.tap(tables=["dbo.drawn"], arrow=True, page_size=40, fetch_size=16, driver=driver)
        for driver in ("mssql-python", "mssql-odbc", "msodbcsql")
    )
    assert proven.exit_code == 0, proven.log
    assert len(proven.rows) == ROWS
    for new in others:
        assert new.exit_code == 0, new.log
        assert proven.schema["properties"] == new.schema["properties"]
        for old, now in zip(proven.rows, new.rows, strict=True):
            for number, kind in enumerate(kinds):
                assert repr(now[f"v{number}"]) == repr(old[f"v{number}"]), f"{kind} of row {old['id']}"
