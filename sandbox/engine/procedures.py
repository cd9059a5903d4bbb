"""The system procedures that drivers call: catalog procedures, prepared statements by name, session ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ..tds.errors import SqlError, syntax
from ..tds.tokens import ResultColumn
from ..tds.types import BIT, INT, KINDS, SYSNAME, SqlType
from .declared import data_type
from .script import PREFIX
from .translate import Variable, parse

if TYPE_CHECKING:
    from .session import Session, Sink

SMALLINT, TINYINT = SqlType("smallint"), SqlType("tinyint")


def execute(session: Session, text: str, scope: dict[str, Variable], sink: Sink) -> None:
    """EXEC by name with literal or variable arguments, EXEC (string)."""
    from .session import split_commas

    text = text.replace(PREFIX, "").strip().rstrip(";")
    dynamic = re.match(r"(?is)exec(?:ute)?\s*\((.*)\)$", text)
    if dynamic:
        session.run(str(session.value(dynamic[1], scope)), {}, sink)
        return
    found = re.match(r"(?is)exec(?:ute)?\s+(?:@\w+\s*=\s*)?([\w.\[\]]+)\s*(.*)$", text)
    if found is None:
        raise syntax("EXEC")
    values: list[tuple[str, Any]] = []
    for item in split_commas(found[2]) if found[2].strip() else []:
        named = re.match(r"(?is)\s*@(\w+)\s*=\s*(.*)$", item)
        written = re.sub(r"(?i)\s+out(put)?\s*$", "", (named[2] if named else item).strip())
        values.append(
            (
                named[1].lower() if named else "",
                session.value(
                    written
                    if not re.fullmatch(r"[A-Za-z_]\w*", written) or written.upper() == "NULL"
                    else f"'{written}'",
                    scope,
                ),
            )
        )
    name = found[1].replace("[", "").replace("]", "").split(".")[-1].lower()
    if name == "sp_executesql":
        _execute_sql(session, values, sink)
        return
    call(session, name, values, sink)


def _execute_sql(session: Session, values: list[tuple[str, Any]], sink: Sink) -> None:
    from .session import declared_parameters

    declared = declared_parameters(values[1][1]) if len(values) > 1 else []
    named = {n: v for n, v in values[2:] if n}
    plain = [v for n, v in values[2:] if not n]
    inner = {}
    for index, (name, kind) in enumerate(declared):
        inner[name] = Variable(kind, named.get(name, plain[index] if index < len(plain) else None))
    session.run(str(values[0][1]), inner, sink)


def call(session: Session, name: str, values: list[tuple[str, Any]], sink: Sink) -> None:
    """A procedure by name. Raises SqlError 2812 for one the stand-in does not have."""
    handler = PROCEDURES.get(name)
    if handler is None:
        raise SqlError(2812, f"Could not find stored procedure '{name}'.", 16, 62)
    handler(session, values, sink)


def _send(sink: Sink, columns: list[tuple[str, SqlType]], rows: list[tuple[Any, ...]]) -> None:
    described = tuple(ResultColumn(n, k) for n, k in columns)
    arrow = {"int": pa.int64(), "bit": pa.bool_(), "string": pa.string(), "float": pa.float64()}
    arrays = [pa.array([r[i] for r in rows], arrow[k.family]) for i, (_, k) in enumerate(columns)]
    batch = pa.RecordBatch.from_arrays(arrays, names=[f"c{i}" for i in range(len(columns))])
    sink.rows(described, [batch] if rows else [])
    sink.done(len(rows))


def _argument(values: list[tuple[str, Any]], name: str, place: int) -> Any:
    for label, value in values:
        if label == name:
            return value
    plain = [v for n, v in values if not n]
    return plain[place] if place < len(plain) else None


def _describe(session: Session, values: list[tuple[str, Any]], sink: Sink) -> None:
    """sp_describe_first_result_set: the columns of a statement, not run."""
    from .script import Statement
    from .script import parse as cut
    from .session import declared_parameters

    text, parameters = _argument(values, "tsql", 0), _argument(values, "params", 1)
    scope = {n: Variable(k, None) for n, k in declared_parameters(parameters)}
    nodes = [n for n in cut(text or "") if isinstance(n, Statement)]
    query = next((n for n in nodes if n.keyword == "SELECT"), None)
    found = session.describe(query.text, scope) if query else ()
    _send(
        sink,
        [
            ("is_hidden", BIT),
            ("column_ordinal", INT),
            ("name", SYSNAME),
            ("is_nullable", BIT),
            ("system_type_id", INT),
            ("system_type_name", SqlType("nvarchar", 256)),
            ("max_length", SMALLINT),
            ("precision", TINYINT),
            ("scale", TINYINT),
            ("is_identity_column", BIT),
        ],
        [
            (
                False,
                i,
                c.name or None,
                c.nullable,
                c.type.kind.system_id,
                c.type.declaration(),
                c.type.max_length,
                c.type.catalog_precision,
                c.type.catalog_scale,
                c.identity,
            )
            for i, c in enumerate(found, 1)
        ],
    )


def _undeclared(session: Session, values: list[tuple[str, Any]], sink: Sink) -> None:
    """sp_describe_undeclared_parameters: a type for each parameter, from the column it meets."""
    text = str(_argument(values, "tsql", 0) or "")
    names = list(dict.fromkeys(re.findall(r"(?<!@)@(\w+)", text)))
    rows = []
    for number, name in enumerate(names, 1):
        kind = _guess(session, text, name)
        if kind is None:
            raise SqlError(
                11503, f"The parameter type cannot be deduced because no expression gives one for '@{name}'."
            )
        rows.append(
            (
                number,
                f"@{name}",
                kind.kind.system_id,
                kind.declaration(),
                kind.max_length,
                kind.catalog_precision,
                kind.catalog_scale,
                None,
                None,
                None,
                None,
                None,
                None,
                None,
                None,
                None,
                False,
                False,
                False,
                True,
                False,
                None,
                kind.type_info()[0],
                kind.max_length,
            )
        )
    text_columns = [
        "suggested_user_type_database",
        "suggested_user_type_schema",
        "suggested_user_type_name",
        "suggested_assembly_qualified_type_name",
    ]
    _send(
        sink,
        [
            ("parameter_ordinal", INT),
            ("name", SYSNAME),
            ("suggested_system_type_id", INT),
            ("suggested_system_type_name", SqlType("nvarchar", 256)),
            ("suggested_max_length", SMALLINT),
            ("suggested_precision", TINYINT),
            ("suggested_scale", TINYINT),
            ("suggested_user_type_id", INT),
            *[(n, SYSNAME) for n in text_columns],
            ("suggested_xml_collection_id", INT),
            ("suggested_xml_collection_database", SYSNAME),
            ("suggested_xml_collection_schema", SYSNAME),
            ("suggested_xml_collection_name", SYSNAME),
            ("suggested_is_xml_document", BIT),
            ("suggested_is_case_sensitive", BIT),
            ("suggested_is_fixed_length_clr_type", BIT),
            ("suggested_is_input", BIT),
            ("suggested_is_output", BIT),
            ("formal_parameter_name", SYSNAME),
            ("suggested_tds_type_id", INT),
            ("suggested_tds_length", INT),
        ],
        rows,
    )


def _guess(session: Session, text: str, name: str) -> SqlType | None:
    """The type of the column a parameter is compared with, assigned to or inserted into."""
    from sqlglot import exp

    from .script import parse as cut

    nodes = cut(text)
    tree = parse(nodes[0].text) if nodes and hasattr(nodes[0], "text") else None
    if tree is None:
        return None
    translator = session.translator({})
    tables = [translator.named(t.sql("tsql", comments=False).split(" AS ")[0]) for t in tree.find_all(exp.Table)]
    columns = {c.name.lower(): c.type for t in tables if t is not None for c in t.columns}
    for found in tree.find_all(exp.Parameter):
        if found.name.lower() != name.lower():
            continue
        parent = found.parent
        if isinstance(parent, exp.Limit | exp.Fetch | exp.Offset):
            return SqlType("bigint")
        if isinstance(parent, exp.Cast):
            return data_type(parent.to)
        if isinstance(parent, exp.Tuple) and isinstance(tree, exp.Insert) and tables[0] is not None:
            place = parent.expressions.index(found)
            if isinstance(tree.this, exp.Schema):
                return columns.get(tree.this.expressions[place].name.lower())
            writable = [c for c in tables[0].columns if not c.identity and c.computed is None]
            return writable[place].type
        other = parent.find(exp.Column) if parent is not None else None
        if other is not None:
            return columns.get(other.name.lower())
    return None


def _tables(session: Session, values: list[tuple[str, Any]], sink: Sink) -> None:
    name, owner = _argument(values, "table_name", 0) or "%", _argument(values, "table_owner", 1) or "%"
    rows = session.fetch(
        "SELECT TABLE_CATALOG, TABLE_SCHEMA, TABLE_NAME, CASE TABLE_TYPE WHEN 'BASE TABLE' THEN 'TABLE' ELSE 'VIEW' END,"
        f" NULL FROM \"{session.database}\"._information_schema.tables WHERE TABLE_NAME ILIKE $1 ESCAPE '\\'"
        " AND TABLE_SCHEMA ILIKE $2 ESCAPE '\\' ORDER BY 4, 1, 2, 3",
        [_like(name), _like(owner)],
    )
    _send(
        sink,
        [
            ("TABLE_QUALIFIER", SYSNAME),
            ("TABLE_OWNER", SYSNAME),
            ("TABLE_NAME", SYSNAME),
            ("TABLE_TYPE", SqlType("varchar", 32)),
            ("REMARKS", SqlType("varchar", 254)),
        ],
        rows,
    )


def _like(pattern: str) -> str:
    """A pattern of the catalog procedures, where brackets quote a wildcard."""
    return re.sub(r"\[(.)\]", r"\\\1", pattern)


ODBC = {
    "tinyint": -6,
    "smallint": 5,
    "int": 4,
    "bigint": -5,
    "bit": -7,
    "decimal": 3,
    "numeric": 2,
    "money": 3,
    "smallmoney": 3,
    "real": 7,
    "float": 6,
    "date": -9,
    "time": -9,
    "datetime2": -9,
    "datetimeoffset": -9,
    "datetime": 11,
    "smalldatetime": 11,
    "char": 1,
    "varchar": 12,
    "text": -1,
    "nchar": -8,
    "nvarchar": -9,
    "ntext": -10,
    "xml": -10,
    "binary": -2,
    "varbinary": -3,
    "image": -4,
    "timestamp": -2,
    "uniqueidentifier": -11,
}


def _columns(session: Session, values: list[tuple[str, Any]], sink: Sink) -> None:
    name, owner = _argument(values, "table_name", 0) or "%", _argument(values, "table_owner", 1) or "%"
    column = _argument(values, "column_name", 3) or "%"
    rows = session.fetch(
        "SELECT TABLE_CATALOG, TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE,"
        " CHARACTER_MAXIMUM_LENGTH, CHARACTER_OCTET_LENGTH, IS_NULLABLE, COLUMN_DEFAULT, ORDINAL_POSITION FROM"
        f" \"{session.database}\"._information_schema.columns WHERE TABLE_NAME ILIKE $1 ESCAPE '\\' AND TABLE_SCHEMA"
        " ILIKE $2 ESCAPE '\\' AND COLUMN_NAME ILIKE $3 ESCAPE '\\' ORDER BY 2, 3, 12",
        [_like(name), _like(owner), _like(column)],
    )
    made = []
    for row in rows:
        kind = KINDS.get(row[4])
        size = row[7] if row[7] is not None else row[5] if row[5] is not None else kind.precision if kind else 0
        made.append(
            (
                *row[:4],
                ODBC.get(row[4], -9),
                row[4],
                size,
                row[8] or (kind.size if kind else 0),
                row[6],
                10 if row[5] is not None else None,
                int(row[9] == "YES"),
                None,
                row[10],
                ODBC.get(row[4], -9),
                None,
                row[8],
                row[11],
                row[9],
                0,
            )
        )
    _send(
        sink,
        [
            ("TABLE_QUALIFIER", SYSNAME),
            ("TABLE_OWNER", SYSNAME),
            ("TABLE_NAME", SYSNAME),
            ("COLUMN_NAME", SYSNAME),
            ("DATA_TYPE", SMALLINT),
            ("TYPE_NAME", SYSNAME),
            ("PRECISION", INT),
            ("LENGTH", INT),
            ("SCALE", SMALLINT),
            ("RADIX", SMALLINT),
            ("NULLABLE", SMALLINT),
            ("REMARKS", SqlType("varchar", 254)),
            ("COLUMN_DEF", SqlType("nvarchar", 4000)),
            ("SQL_DATA_TYPE", SMALLINT),
            ("SQL_DATETIME_SUB", SMALLINT),
            ("CHAR_OCTET_LENGTH", INT),
            ("ORDINAL_POSITION", INT),
            ("IS_NULLABLE", SqlType("varchar", 254)),
            ("SS_DATA_TYPE", TINYINT),
        ],
        made,
    )


def _types(session: Session, values: list[tuple[str, Any]], sink: Sink) -> None:
    """sp_datatype_info: what SQLGetTypeInfo asks; drivers take the digits of a datetime2 from it."""
    wanted = int(_argument(values, "data_type", 0) or 0)
    newer = {
        "date": (91, 10, 0),
        "time": (-154, 16, 7),
        "datetime2": (93, 27, 7),
        "datetimeoffset": (-155, 34, 7),
        "datetime": (93, 23, 3),
        "smalldatetime": (93, 16, 0),
        "xml": (-152, 0, None),
    }
    rows = []
    for name, kind in KINDS.items():
        code, size, digits = newer.get(name, (ODBC.get(name, -150), kind.precision or max(kind.size, 0), None))
        if wanted in (0, code) and name not in ("sysname", "hierarchyid", "geometry", "geography"):
            quote = "'" if kind.family in ("string", "date", "time", "ticks", "offset", "guid") else None
            rows.append(
                (
                    name,
                    code,
                    size,
                    quote,
                    quote,
                    None,
                    1,
                    0,
                    3,
                    None,
                    0,
                    0,
                    name,
                    digits if digits is not None else 0,
                    digits if digits is not None else kind.scale,
                    9 if code in (91, 93) else code,
                    {"date": 1}.get(name, 3 if code == 93 else None),
                    10 if kind.family in ("int", "decimal") else None,
                    None,
                    0,
                )
            )
    rows.sort(key=lambda row: (row[1], -int(row[2])))
    _send(
        sink,
        [
            ("TYPE_NAME", SYSNAME),
            ("DATA_TYPE", SMALLINT),
            ("PRECISION", INT),
            ("LITERAL_PREFIX", SYSNAME),
            ("LITERAL_SUFFIX", SYSNAME),
            ("CREATE_PARAMS", SYSNAME),
            ("NULLABLE", SMALLINT),
            ("CASE_SENSITIVE", SMALLINT),
            ("SEARCHABLE", SMALLINT),
            ("UNSIGNED_ATTRIBUTE", SMALLINT),
            ("MONEY", SMALLINT),
            ("AUTO_INCREMENT", SMALLINT),
            ("LOCAL_TYPE_NAME", SYSNAME),
            ("MINIMUM_SCALE", SMALLINT),
            ("MAXIMUM_SCALE", SMALLINT),
            ("SQL_DATA_TYPE", SMALLINT),
            ("SQL_DATETIME_SUB", SMALLINT),
            ("NUM_PREC_RADIX", INT),
            ("INTERVAL_PRECISION", SMALLINT),
            ("USERTYPE", SMALLINT),
        ],
        rows,
    )


def _keys(session: Session, values: list[tuple[str, Any]], sink: Sink) -> None:
    name = str(_argument(values, "table_name", 0) or "")
    rows = session.fetch(
        "SELECT k.TABLE_CATALOG, k.TABLE_SCHEMA, k.TABLE_NAME, k.COLUMN_NAME, k.ORDINAL_POSITION, k.CONSTRAINT_NAME"
        f' FROM "{session.database}"._information_schema.key_column_usage k JOIN "{session.database}".'
        "_information_schema.table_constraints t USING (TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME)"
        " WHERE t.CONSTRAINT_TYPE = 'PRIMARY KEY' AND lower(k.TABLE_NAME) = $1 ORDER BY 5",
        [name.lower()],
    )
    _send(
        sink,
        [
            ("TABLE_QUALIFIER", SYSNAME),
            ("TABLE_OWNER", SYSNAME),
            ("TABLE_NAME", SYSNAME),
            ("COLUMN_NAME", SYSNAME),
            ("KEY_SEQ", SMALLINT),
            ("PK_NAME", SYSNAME),
        ],
        rows,
    )


def _nothing(session: Session, values: list[tuple[str, Any]], sink: Sink) -> None:
    sink.done(None)


def _reset(session: Session, values: list[tuple[str, Any]], sink: Sink) -> None:
    session.reset()
    sink.done(None)


PROCEDURES: dict[str, Callable[[Session, list[tuple[str, Any]], Sink], None]] = {
    "sp_describe_first_result_set": _describe,
    "sp_describe_undeclared_parameters": _undeclared,
    "sp_tables": _tables,
    "sp_columns": _columns,
    "sp_columns_100": _columns,
    "sp_pkeys": _keys,
    "sp_datatype_info": _types,
    "sp_datatype_info_90": _types,
    "sp_datatype_info_100": _types,
    "sp_reset_connection": _reset,
    "sp_set_session_context": _nothing,
}
