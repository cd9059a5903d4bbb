"""SQL Server's types: what each is read as, and how its values are bound again.

For every type: the neutral column type, the expression that selects it, how it is spelled in a CAST, and what is lost
on the way. The table is in the README; the names and limits are those of Microsoft's Transact-SQL reference.
"""

from __future__ import annotations

from dataclasses import dataclass

from sync_rules.column_types import ColumnType

MAX_LENGTH = -1
"""`sys.columns.max_length` of a `max`, `xml` or other large column."""

_MISREAD = ("Chinese_", "Hebrew_", "Japanese_", "Korean_", "Vietnamese_")
_HEBREW = "_CP1255_"
"""Collations of code pages that ODBC Driver 18 has other tables of than SQL Server, or whose characters of two bytes
mssql-python 1.16 tears apart. Of the others each byte was compared."""

_LONGEST_NVARCHAR = 4000
"""In characters; what may be longer is nvarchar(max)."""

_PLAIN = {
    "bit": "boolean",
    "tinyint": "smallint",
    "smallint": "smallint",
    "int": "integer",
    "bigint": "bigint",
    "real": "real",
    "float": "double precision",
    "money": "decimal(19,4)",
    "smallmoney": "decimal(10,4)",
    "date": "date",
    "datetime": "timestamp(3)",
    "smalldatetime": "timestamp(0)",
    "uniqueidentifier": "uuid",
    "text": "text",
    "ntext": "text",
    "image": "varbinary",
    "timestamp": "varbinary",
    "xml": "text",
    "sql_variant": "text",
    "hierarchyid": "text",
    "geography": "text",
    "geometry": "text",
    "vector": "text",
    "json": "json",
}
_TWO_BYTES = ("nchar", "nvarchar")
_SIZED_TEXT = ("char", "varchar", *_TWO_BYTES)
_SIZED_BINARY = ("binary", "varbinary")
_SCALED_TIMES = {"time": "time({})", "datetime2": "timestamp({})", "datetimeoffset": "timestamp({}) with time zone"}
_LARGE = ("text", "ntext", "image", "xml", "json", "geography", "geometry", "vector", "hierarchyid", "sql_variant")

_VARIANT = (
    "CASE CAST(SQL_VARIANT_PROPERTY({0}, 'BaseType') AS varchar(30))"
    " WHEN 'binary' THEN CONVERT(nvarchar(max), CAST({0} AS varbinary(8000)), 1)"
    " WHEN 'varbinary' THEN CONVERT(nvarchar(max), CAST({0} AS varbinary(8000)), 1)"
    " WHEN 'float' THEN CONVERT(nvarchar(max), CAST({0} AS float), 3)"
    " WHEN 'real' THEN CONVERT(nvarchar(max), CAST({0} AS real), 3)"
    " WHEN 'money' THEN CONVERT(nvarchar(max), CAST({0} AS money), 2)"
    " WHEN 'smallmoney' THEN CONVERT(nvarchar(max), CAST({0} AS smallmoney), 2)"
    " WHEN 'date' THEN CONVERT(nvarchar(max), CAST({0} AS date), 126)"
    " WHEN 'datetime' THEN CONVERT(nvarchar(max), CAST({0} AS datetime), 126)"
    " WHEN 'smalldatetime' THEN CONVERT(nvarchar(max), CAST({0} AS smalldatetime), 126)"
    " WHEN 'datetime2' THEN CONVERT(nvarchar(max), CAST({0} AS datetime2(7)), 126)"
    " WHEN 'datetimeoffset' THEN CONVERT(nvarchar(max), CAST({0} AS datetimeoffset(7)), 126)"
    " ELSE CAST({0} AS nvarchar(max)) END"
)
_SELECTED = {
    "sql_variant": _VARIANT,
    "hierarchyid": "{0}.ToString()",
    # The text forms of Microsoft's spatial types have no place for the reference system: EWKT puts it in front.
    "geography": "'SRID=' + CAST({0}.STSrid AS nvarchar(11)) + ';' + {0}.AsTextZM()",
    "geometry": "'SRID=' + CAST({0}.STSrid AS nvarchar(11)) + ';' + {0}.AsTextZM()",
    "xml": "CAST({0} AS nvarchar(max))",
    "image": "CAST({0} AS varbinary(max))",  # as it is, mssql-odbc makes NULL of an empty one
    "json": "CAST({0} AS nvarchar(max))",
    "vector": "CAST({0} AS nvarchar(max))",
}


def quote(name: str) -> str:
    """A bracket-quoted identifier."""
    return "[" + name.replace("]", "]]") + "]"


@dataclass(frozen=True)
class SqlColumn:
    """One column as the catalog views describe it.

    `base` is the system type's name, whatever alias the column is declared with; `max_length` is in bytes, -1 for
    `max`; `collation` is that of a character column.
    """

    name: str
    base: str
    max_length: int
    precision: int
    scale: int
    nullable: bool
    collation: str | None = None

    @property
    def declared(self) -> str:
        """The type as one would write it in a CREATE TABLE: `decimal(38,2)`, `datetime2(7)`, `nvarchar(max)`."""
        if self.base in ("decimal", "numeric"):
            return f"{self.base}({self.precision},{self.scale})"
        if self.base in _SCALED_TIMES:
            return f"{self.base}({self.scale})"
        if self.base in (*_SIZED_TEXT, *_SIZED_BINARY):
            return f"{self.base}({'max' if self.max_length == MAX_LENGTH else self._length})"
        return "rowversion" if self.base == "timestamp" else self.base

    @property
    def _length(self) -> int:
        return self.max_length // 2 if self.base in _TWO_BYTES else self.max_length

    @property
    def type(self) -> ColumnType:
        """The neutral type. A type this tap has never heard of is read as its bytes."""
        if self.base in ("decimal", "numeric"):
            return ColumnType("decimal", precision=self.precision, scale=self.scale)
        if self.base in _SCALED_TIMES:
            return ColumnType.parse(_SCALED_TIMES[self.base].format(min(self.scale, 6)))
        if self.base in _SIZED_TEXT:
            if self.max_length == MAX_LENGTH:
                return ColumnType("text")
            return ColumnType("char" if self.base in ("char", "nchar") else "varchar", length=self._length)
        return ColumnType.parse(_PLAIN.get(self.base, "varbinary"))

    @property
    def selected(self) -> str:
        """The expression that a SELECT reads the column by."""
        name = quote(self.name)
        if self._of_a_code_page:
            # The server knows its code pages, the drivers have tables of their own.
            length = self.max_length if self.base != "text" and 0 < self.max_length <= _LONGEST_NVARCHAR else "max"
            return f"CAST({name} AS nvarchar({length}))"
        if self.base in _SELECTED:
            return _SELECTED[self.base].format(name)
        if self.base in (*_PLAIN, *_SCALED_TIMES, *_SIZED_TEXT, *_SIZED_BINARY, "decimal", "numeric"):
            return name
        return f"CAST({name} AS varbinary(max))"

    @property
    def _of_a_code_page(self) -> bool:
        return self.base in ("char", "varchar", "text") and not (self.collation or "_UTF8").endswith("_UTF8")

    @property
    def right_as_stored(self) -> bool:
        """Whether what the driver makes of its code page is right wherever no `?` stands, and half as much is sent.

        A `?` may be a byte that SQL Server passes on though its code page has no character for it, as UTF-8 has them
        that was stored as it is: the `Á` and `Í` of cp1252.
        """
        collation = self.collation or ""
        misread = collation.startswith(_MISREAD) or _HEBREW in collation
        return self._of_a_code_page and self.base != "text" and self.max_length > 0 and not misread

    @property
    def large(self) -> bool:
        """Whether one value may have more than 8,000 bytes."""
        return self.max_length == MAX_LENGTH or self.base in _LARGE

    @property
    def unbound(self) -> bool:
        """Whether a page may bring it as a value whose length has no bound."""
        return self.large or "(max)" in self.selected

    @property
    def in_utf8(self) -> bool:
        """Whether the server keeps it in UTF-8, by the name of its collation."""
        return self.base in ("char", "varchar") and (self.collation or "").endswith("_UTF8")

    @property
    def wide(self) -> bool:
        """Whether the server keeps it in Unicode, which can hold parts of characters: batch files cannot.

        In UTF-16 that is one half of two, in UTF-8 bytes that were stored as they are: drivers put U+FFFD there.
        """
        return self.in_utf8 or self.base in (*_TWO_BYTES, "ntext")

    @property
    def lost_digits(self) -> str | None:
        """An expression that is 1 where the value has a seventh digit of the second, which Arrow files do not hold."""
        if self.base not in _SCALED_TIMES or self.scale < 7:
            return None
        return f"CASE WHEN DATEPART(nanosecond, {quote(self.name)}) % 1000 <> 0 THEN 1 ELSE 0 END"

    @property
    def lost_offset(self) -> str | None:
        """An expression that is 1 where the value's offset from UTC is not zero: only the instant is kept."""
        if self.base != "datetimeoffset":
            return None
        name, plain = quote(self.name), f"datetime2({self.scale})"
        instant = f"CAST(SWITCHOFFSET({name}, '+00:00') AS {plain})"
        return f"CASE WHEN CAST({name} AS {plain}) <> {instant} THEN 1 ELSE 0 END"


def bound(column: SqlColumn, database_collation: str | None) -> str:
    """A parameter marker for a value of the column, in the column's exact type.

    A marker of another type would make SQL Server convert the column instead of the value, and scan the table. Text is
    bound as nvarchar by every driver; a column whose collation is not the database's needs its own, or characters
    outside the database's code page would be lost.
    """
    if column.base == "timestamp":
        return "CAST(CAST(? AS bigint) AS binary(8))"
    if column.base in _SIZED_BINARY:
        return f"CONVERT({column.declared}, CAST(? AS varchar(max)), 1)"
    if column.base in ("char", "varchar") and column.collation and column.collation != database_collation:
        return f"CAST(? COLLATE {column.collation} AS {column.declared})"
    return f"CAST(? AS {column.declared})"


def exact_text(column: SqlColumn) -> str | None:
    """An expression for the exact text of the value, for types whose Arrow value does not give it; else None.

    `datetime` and `smalldatetime` are not among them: milliseconds name their ticks exactly. datetimeoffset is given
    as its instant, in UTC, which is how SQL Server compares it.
    """
    name = quote(column.name)
    if column.base in ("datetime2", "time"):
        return f"CONVERT(varchar(33), {name}, 126)" if column.scale == 7 else None
    if column.base == "datetimeoffset":
        return f"CONVERT(varchar(33), CAST(SWITCHOFFSET({name}, '+00:00') AS datetime2({column.scale})), 126)"
    if column.base == "timestamp":
        return f"CAST(CAST({name} AS binary(8)) AS bigint)"
    return None


def orderable(column: SqlColumn) -> bool:
    """Whether SQL Server can order by the column and a value of it can be bound again."""
    return not column.large and column.base in (
        *_PLAIN,
        *_SCALED_TIMES,
        *_SIZED_TEXT,
        *_SIZED_BINARY,
        "decimal",
        "numeric",
    )
