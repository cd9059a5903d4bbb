"""What a quick check measures, in T-SQL and in PostgreSQL's SQL: numbers that are exact on both.

For each column the rows that are not NULL are counted and its values added up as whole numbers or decimals: days,
microseconds, lengths. Added up alone, two rows that swapped their values would go unseen; so each row is also folded
into one number that depends on which value is in which column beside which key, and these are added up too.

Nothing here may overflow or round, on either side: each expression says why it does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from paralelo.verify.columns import Column, TablePair

PRIME = 2_147_483_647
"""2**31 - 1: below it a number times itself fits a bigint."""
ROW = "paralelo_row"
"""What a row's number is called beside the columns of its table, of which none is likely to be called so."""

COLUMNS = 300
"""Most columns that one statement measures beside the key: PostgreSQL selects 1,664 expressions at the most, and a wide
decimal takes five."""
_SAFE_PRECISION = 28
"""SUM of decimal(p, s) is decimal(38, s): ten digits stay for the number of rows."""
_WIDE_LIMIT = 10**25
_WIDE_MODULI = (10**13 - 1, 10**13, 10**13 + 1)
"""Without a common factor: two unscaled values below 10**38 that agree in all three residues are the same."""
_MIXED_SCALE = 8

UNSEEN = (
    "a text or a byte string changed to another of the same length",
    "a float's -0.0 changed to 0.0 or back",
    "decimals with more than 8 digits after the point that swapped their rows",
    "changes of several rows of one key range that cancel out in every sum and in the sum of row numbers",
)
"""What a quick check cannot see."""


@dataclass(frozen=True)
class Measure:
    """One aggregate: what it is called, and how each side says it."""

    column: str
    name: str
    source: str
    target: str


@dataclass(frozen=True)
class Number:
    """A column's value as an exact number in both dialects; NULL where the value is."""

    source: str
    target: str
    name: str = "sum"


def bracket(name: str) -> str:
    """An identifier in T-SQL."""
    return f"[{name.replace(']', ']]')}]"


def quote(name: str) -> str:
    """An identifier in PostgreSQL's SQL."""
    return '"' + name.replace('"', '""') + '"'


def parts(table: TablePair) -> list[TablePair]:
    """The table by its columns, as many of them as one statement can measure, each time beside the key."""
    key = {column.target for column in table.key}
    others = [column for column in table.columns if column.target not in key]
    if len(others) <= COLUMNS:
        return [table]
    first = tuple(column for column in table.columns if column.target in key)
    return [
        replace(table, columns=(*first, *others[start : start + COLUMNS])) for start in range(0, len(others), COLUMNS)
    ]


def measures_of(table: TablePair) -> tuple[Measure, ...]:
    """Every measure of a table's rows, in the order in which the statements select them."""
    return tuple(measure for part in parts(table) for measure in _measures_of(part))


def _measures_of(table: TablePair) -> tuple[Measure, ...]:
    found = [Measure("", "rows", "COUNT_BIG(*)", "count(*)")]
    if table.axis is not None:
        number = number_of(table.axis)
        for name in ("min", "max"):
            found.append(Measure(table.axis.target, name, f"{name}({number.source})", f"{name}({number.target})"))
    for column in table.columns:
        # SQL Server counts no `text`, `ntext` or `image`; a value that is there has a length.
        large = column.family in ("text", "binary") and column.kind.length is None
        here = f"DATALENGTH({bracket(column.source)})" if large else bracket(column.source)
        found.append(Measure(column.target, "values", f"COUNT_BIG({here})", f"count({quote(column.target)})"))
        found.extend(_sums(column))
    folded = f"SUM(CAST(({ROW} * {ROW}) % {PRIME} AS bigint))"
    found.append(Measure("", "row numbers", folded, folded))
    return tuple(found)


def row_number(table: TablePair) -> tuple[str, str]:
    """One number below PRIME for each row, in T-SQL and in PostgreSQL's SQL.

    Each column's number is below 2**31, its factor below 2**16: the sum over 1,024 columns stays below 2**57. It is
    squared afterwards (see `measures_of`), so that a sum over rows is not the sum of what each column adds.
    """
    terms = [(_residue(column), 7919 * (place + 1) % 65_521) for place, column in enumerate(table.columns)]
    sides = []
    for side in ("source", "target"):
        parts = [f"COALESCE({getattr(number, side)}, -7) * {factor}" for number, factor in terms if number is not None]
        sides.append(f"({' + '.join(parts) or '0'}) % {PRIME}")
    return sides[0], sides[1]


def number_of(column: Column) -> Number:
    """The number that a column's values are added up as.

    Text counts UTF-16 code units, which is what SQL Server counts; PostgreSQL counts code points, so characters beyond
    U+FFFF count twice there. LEN would leave trailing spaces out, DATALENGTH does not. Times are cut to microseconds,
    as the tap does: DATEPART and DATEDIFF count boundaries crossed, which is cutting, before the epoch too. An infinite
    date or time of PostgreSQL's, or one at the end of its years, would be an error in arithmetic, and is a number far
    away instead.
    """
    here, there = bracket(column.source), quote(column.target)
    base = column.declared.partition("(")[0].strip().lower()
    if column.family == "boolean":
        return Number(f"CAST({here} AS int)", f"{there}::int")
    if column.family == "integer":
        return Number(f"CAST({here} AS bigint)", there)
    if column.family == "decimal":
        exact = here if base in ("decimal", "numeric") else f"CAST({here} AS {_decimal(column)})"
        return Number(exact, there)
    if column.family == "date":
        return Number(_day(here), _finite(there, f"{there} - DATE '1970-01-01'", 99_999_999), "days")
    if column.family in ("timestamp", "instant", "time"):
        return _microseconds(column, here, there, base)
    if column.family == "uuid":
        return _identifier(here, there)
    if column.family == "binary":
        return Number(f"DATALENGTH({column.expression})", f"octet_length({there})", "bytes")
    if column.family == "float":
        return _float(here, there)
    return _length(column, here, there, base)


def _sums(column: Column) -> list[Measure]:
    number = number_of(column)
    if column.family != "decimal":
        return [_sum(column, number.name, f"CAST({number.source} AS decimal(38, 0))", number.target)]
    if (column.kind.precision or 0) <= _SAFE_PRECISION:
        return [_sum(column, number.name, number.source, number.target)]
    limit = _literal(_WIDE_LIMIT, column)
    near = f"BETWEEN -{limit} AND {limit}"
    found = [
        _sum(
            column,
            "sum",
            f"CASE WHEN {number.source} {near} THEN {number.source} END",
            f"CASE WHEN {number.target} {near} THEN {number.target} END",
        )
    ]
    # Beyond the limit a sum could overflow, and residues are added up instead.
    for place, modulus in enumerate(_WIDE_MODULI, 1):
        rest = _literal(modulus, column)
        found.append(
            _sum(
                column,
                f"residues {place}",
                f"CASE WHEN {number.source} NOT {near} THEN {number.source} % {rest} END",
                f"CASE WHEN {number.target} NOT {near} THEN {number.target} % {rest} END",
            )
        )
    return found


def _sum(column: Column, name: str, source: str, target: str) -> Measure:
    return Measure(column.target, name, f"SUM({source})", f"sum({target})")


def _residue(column: Column) -> Number | None:
    """The column's number as a bigint below PRIME, or None where that takes more digits than there are."""
    number = number_of(column)
    if column.family in ("text", "binary", "boolean", "date"):
        return Number(f"CAST({number.source} AS bigint)", f"({number.target})::bigint")
    if column.family != "decimal":
        return Number(f"CAST({number.source} % {PRIME} AS bigint)", f"(({number.target}) % {PRIME})::bigint")
    scale = column.kind.scale or 0
    if scale > _MIXED_SCALE:
        return None
    rest, factor = _literal(PRIME, column), 10**scale
    small = f"CAST({number.source} % {rest} AS decimal({10 + scale}, {scale}))"
    finite = f"CASE WHEN {number.target} IS NULL THEN NULL WHEN {number.target} BETWEEN -1e38 AND 1e38 THEN"
    return Number(
        f"CAST({small} * {factor} AS bigint)", f"{finite} (({number.target} % {rest}) * {factor})::bigint ELSE -9 END"
    )


def _microseconds(column: Column, here: str, there: str, base: str) -> Number:
    """By days and parts of the day: DATEDIFF_BIG is younger than SQL Server 2014."""
    exact = f"(extract(epoch FROM {there}) * 1000000)::bigint"
    if column.family == "time":
        return Number(_of_day(here), exact, "microseconds")
    if base == "datetime":
        # Its ticks are thirds of a hundredth; the driver and this cast give the milliseconds they are shown as.
        here = f"CAST({here} AS datetime2(3))"
    elif base == "smalldatetime":
        here = f"CAST({here} AS datetime2(0))"
    elif column.family == "instant":
        here = f"CAST(SWITCHOFFSET({here}, '+00:00') AS datetime2(7))"
    return Number(
        f"(CAST({_day(here)} AS bigint) * 86400000000 + {_of_day(here)})",
        _finite(there, exact, 9_000_000_000_000_000_000),
        "microseconds",
    )


def _day(here: str) -> str:
    return f"DATEDIFF(day, CAST('1970-01-01' AS date), {here})"


def _of_day(here: str) -> str:
    minutes = f"DATEPART(hour, {here}) * 60 + DATEPART(minute, {here})"
    seconds = f"({minutes}) * 60 + DATEPART(second, {here})"
    return f"(CAST({seconds} AS bigint) * 1000000 + DATEPART(microsecond, {here}))"


def _finite(name: str, number: str, otherwise: int) -> str:
    near = f"isfinite({name}) AND {name} < '290000-01-01'"
    return f"CASE WHEN {name} IS NULL THEN NULL WHEN {near} THEN {number} ELSE {otherwise} END"


def _identifier(here: str, there: str) -> Number:
    """Its digits as three numbers of at most 48 bits. As bytes, SQL Server keeps the first half in another order."""
    text = f"CAST({here} AS varchar(36))"
    digits = (
        f"SUBSTRING({text}, 1, 8) + SUBSTRING({text}, 10, 4)",
        f"SUBSTRING({text}, 15, 4) + SUBSTRING({text}, 20, 4)",
        f"SUBSTRING({text}, 25, 12)",
    )
    source = [
        f"CAST(CONVERT(binary({size}), {part}, 2) AS bigint)" for size, part in zip((6, 4, 6), digits, strict=True)
    ]
    plain = f"replace({there}::text, '-', '')"
    parts = ((1, 12), (13, 8), (21, 12))
    target = [f"('x' || substr({plain}, {first}, {size}))::bit({4 * size})::bigint" for first, size in parts]
    weighed = [f"({one} + {two} * 3 + {three} * 5)" for one, two, three in (source, target)]
    return Number(f"CASE WHEN {here} IS NOT NULL THEN {weighed[0]} END", weighed[1], "digits")


def _float(here: str, there: str) -> Number:
    """Its 17 digits as one whole number, and its exponent: a sum of floats would depend on its order.

    Style 3 is documented to write each distinct value differently. Should the two servers ever round a seventeenth
    digit differently, the range is read and found equal; so it is where the style is not known, before SQL Server 2016,
    and writes no exponent.
    """
    text = f"CONVERT(varchar(40), CAST({here} AS float), 3)"
    mark = f"NULLIF(CHARINDEX('e', {text}), 0)"
    digits = f"CAST(REPLACE(LEFT({text}, {mark} - 1), '.', '') AS decimal(38, 0))"
    exponent = f"CAST(REPLACE(SUBSTRING({text}, {mark} + 1, 5), '+', '') AS int)"
    shown = f"to_char({there}::float8, '9.9999999999999999EEEE')"
    finite = f"{there}::float8 BETWEEN -1.7976931348623157e308 AND 1.7976931348623157e308"
    whole = f"replace(split_part({shown}, 'e', 1), '.', '')::numeric * 1000 + split_part({shown}, 'e', 2)::int"
    return Number(
        f"({digits} * 1000 + {exponent})",
        f"CASE WHEN {there} IS NULL THEN NULL WHEN {finite} THEN {whole} ELSE 9e25 END",
        name="digits",
    )


def _length(column: Column, here: str, there: str, base: str) -> Number:
    length = column.kind.length
    if base in ("nvarchar", "nchar"):
        wide = here
    elif base in ("varchar", "char") and length is not None and length <= 4000:
        wide = f"CAST({here} AS nvarchar({length}))"
    else:
        wide = f"CAST({column.expression} AS nvarchar(max))"
    text = there if column.stored in ("text", "varchar") else f"{there}::text"
    if column.padded:
        wide, text = f"RTRIM({wide})", f"rtrim({text})"
    beyond = f"char_length(regexp_replace({text}, '[^\\U00010000-\\U0010FFFF]', '', 'g'))"
    # Such a character takes four bytes: where there are fewer than three more bytes than characters there is none.
    units = f"char_length({text}) + CASE WHEN octet_length({text}) - char_length({text}) < 3 THEN 0 ELSE {beyond} END"
    return Number(f"DATALENGTH({wide}) / 2", f"({units})", "length")


def _decimal(column: Column) -> str:
    return f"decimal({column.kind.precision}, {column.kind.scale})"


def _literal(unscaled: int, column: Column) -> str:
    return f"{Decimal(unscaled).scaleb(-(column.kind.scale or 0)):f}"
