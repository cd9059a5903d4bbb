"""The system procedures that drivers call: catalog procedures, prepared statements by name, session ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..tds.errors import SqlError, syntax
from ..tds.types import BIT, INT, SYSNAME, SqlType
from . import driver_catalog
from .declared import data_type
from .driver_catalog import SMALLINT, TINYINT, argument, send
from .script import PREFIX
from .translate import Variable, parse

if TYPE_CHECKING:
    from .session import Session, Sink


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


def _describe(session: Session, values: list[tuple[str, Any]], sink: Sink) -> None:
    """sp_describe_first_result_set: the columns of a statement, not run."""
    from .script import Statement
    from .script import parse as cut
    from .session import declared_parameters

    text, parameters = argument(values, "tsql", 0), argument(values, "params", 1)
    scope = {n: Variable(k, None) for n, k in declared_parameters(parameters)}
    nodes = [n for n in cut(text or "") if isinstance(n, Statement)]
    query = next((n for n in nodes if n.keyword == "SELECT"), None)
    found = session.describe(query.text, scope) if query else ()
    send(
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
    text = str(argument(values, "tsql", 0) or "")
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
    send(
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


def _nothing(session: Session, values: list[tuple[str, Any]], sink: Sink) -> None:
    sink.done(None)


def _reset(session: Session, values: list[tuple[str, Any]], sink: Sink) -> None:
    session.reset()
    sink.done(None)


PROCEDURES: dict[str, Callable[[Session, list[tuple[str, Any]], Sink], None]] = {
    "sp_describe_first_result_set": _describe,
    "sp_describe_undeclared_parameters": _undeclared,
    "sp_tables": driver_catalog.tables,
    "sp_columns": driver_catalog.columns,
    "sp_columns_100": driver_catalog.columns,
    "sp_pkeys": driver_catalog.keys,
    "sp_datatype_info": driver_catalog.types,
    "sp_datatype_info_90": driver_catalog.types,
    "sp_datatype_info_100": driver_catalog.types,
    "sp_reset_connection": _reset,
    "sp_set_session_context": _nothing,
}
