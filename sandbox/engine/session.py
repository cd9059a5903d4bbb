"""One login's session: its database, its variables, its transaction, and the statements it runs."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import duckdb
import pyarrow as pa
from sqlglot import exp

from ..tds.errors import Cancelled, SqlError, from_duckdb, syntax
from ..tds.tokens import ResultColumn
from ..tds.types import MAX, SqlType
from . import ddl, dml, procedures, results, seek
from .catalog import Table, quoted
from .instance import Instance
from .script import Branch, Node, Statement
from .script import parse as cut
from .translate import Facts, Query, Scope, Translator, Variable, parse

LEVELS = {"READ UNCOMMITTED": 1, "READ COMMITTED": 2, "REPEATABLE READ": 3, "SERIALIZABLE": 4, "SNAPSHOT": 5}
_CHANGES = ("INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE")
_DEFINITIONS = ("CREATE", "ALTER", "DROP", "GRANT", "DENY", "REVOKE")


class Sink(Protocol):
    """Where a statement's answers go, in their order."""

    def rows(self, columns: tuple[ResultColumn, ...], batches: Iterable[pa.RecordBatch]) -> int: ...
    def done(self, count: int | None) -> None: ...
    def message(self, number: int, text: str) -> None: ...
    def database(self, name: str, before: str) -> None: ...
    def transaction(self, change: str) -> None: ...


@dataclass
class Session:
    """`administrator` may do all; another login only what GRANT gave it."""

    instance: Instance
    login: str
    database: str
    spid: int = 51
    host: str = ""
    application: str = ""
    administrator: bool = True

    def __post_init__(self) -> None:
        self.cursor = self.instance.connection.cursor()
        self.cursor.execute("SET default_collation = 'NOCASE'")
        self.database = self.instance.name_of(self.database) or "master"
        self.trancount = 0
        self.implicit = False
        self.isolation = "READ COMMITTED"
        self.identity: int | None = None
        self.identity_insert: str | None = None
        self.rowcount = 0
        self.lock_timeout: float | None = None
        self.format_only = False
        self.cancelled = False
        self._open = False

    # Running

    def run(self, batch: str, variables: Mapping[str, Variable], sink: Sink) -> dict[str, Variable]:
        """Run a batch with its parameters. Raises SqlError or Cancelled; returns the variables afterwards."""
        scope = dict(variables)
        self._run_all(cut(batch), scope, sink)
        return scope

    def _run_all(self, nodes: Iterable[Node], scope: dict[str, Variable], sink: Sink) -> None:
        for node in nodes:
            if isinstance(node, Branch):
                chosen = node.then if self.holds(node.condition, scope) else node.otherwise
                self._run_all(chosen, scope, sink)
            else:
                self._guarded(node, scope, sink)

    def _guarded(self, statement: Statement, scope: dict[str, Variable], sink: Sink) -> None:
        if self.cancelled:
            raise Cancelled
        try:
            self._one(statement, scope, sink)
        except duckdb.Error as error:
            self._abandon(sink)
            raise from_duckdb(error) from error
        except (SqlError, Cancelled):
            if self._open and self.trancount == 0:
                self._abandon(sink)
            raise

    def _one(self, statement: Statement, scope: dict[str, Variable], sink: Sink) -> None:
        word, text = statement.keyword, statement.text
        if self.implicit and self.trancount == 0 and _begins_a_transaction(word, text):
            self.trancount = 1
            sink.transaction("begin")
        if word == "SELECT":
            self.select(text, scope, sink)
        elif word in _CHANGES:
            dml.run(self, word, text, scope, sink)
        elif word in _DEFINITIONS:
            ddl.run(self, word, text, sink)
        elif word == "SET":
            self._set(text, scope, sink)
        elif word == "DECLARE":
            self._declare(text, scope)
        elif word in ("BEGIN", "COMMIT", "ROLLBACK", "SAVE"):
            self._transaction_statement(word, text, sink)
        elif word == "USE":
            self.use(text.split(None, 1)[1].strip().strip('[]";'), sink)
        elif word in ("EXEC", "EXECUTE"):
            procedures.execute(self, text, scope, sink)
        elif word == "PRINT":
            value = self.value(text[5:], scope)
            sink.message(0, str(value if value is not None else ""))
            sink.done(None)
        elif word == "KILL":
            self._kill(int(text.split()[1]), sink)
        elif word in ("RAISERROR", "THROW"):
            raise _raised(text)
        elif word in ("RETURN", "DBCC", "CHECKPOINT"):
            sink.done(None)
        elif word == "WAITFOR":
            self._wait(text, sink)
        else:
            raise syntax(word)

    def _kill(self, spid: int, sink: Sink) -> None:
        if not self.administrator:
            raise SqlError(6102, "User does not have permission to use the KILL statement.", 14)
        if not self.instance.kill(spid):
            raise SqlError(6106, f"Process ID {spid} is not an active process ID.")
        sink.done(None)

    def _wait(self, text: str, sink: Sink) -> None:
        """WAITFOR DELAY, by a condition nothing signals, looking up for a cancellation."""
        import threading

        found = re.search(r"DELAY\s+N?'(\d+):(\d+)(?::(\d+(?:\.\d+)?))?'", text, re.IGNORECASE)
        if found is None:
            raise syntax("WAITFOR")
        left = int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3] or 0)
        never = threading.Event()
        while left > 0:
            if self.cancelled:
                raise Cancelled
            never.wait(min(left, 0.05))
            left -= 0.05
        sink.done(None)

    # Queries

    def translator(self, scope: Mapping[str, Variable]) -> Translator:
        facts = Facts(
            self.login,
            self.host,
            self.application,
            self.spid,
            self.administrator,
            self.trancount,
            self.rowcount,
            self.identity,
        )
        return Translator(self.cursor, self.database, facts, dict(scope), None if self.administrator else self._may)

    def _may(self, verb: str, table: Table) -> bool:
        rows = self.cursor.execute(
            f"SELECT state FROM {quoted(table.database)}._catalog.permissions WHERE lower(login) = $1 AND verb = $2"
            " AND (object_id = $3 OR object_id = 0)",
            [self.login.lower(), verb, table.ident],
        ).fetchall()
        states = {row[0] for row in rows}
        return "DENY" not in states and "GRANT" in states

    def translated(self, text: str, scope: Mapping[str, Variable]) -> tuple[Translator, Query]:
        translator = self.translator(scope)
        return translator, translator.query(parse(text))

    def describe(self, text: str, scope: Mapping[str, Variable]) -> tuple[ResultColumn, ...]:
        """The columns a query would give, without running it."""
        translator, query = self.translated(text, scope)
        relation = self.cursor.sql(f"SELECT * FROM ({query.sql}) LIMIT 0", params=translator.used or None)
        return results.columns(query.columns, relation.to_arrow_table().schema)

    def select(self, text: str, scope: dict[str, Variable], sink: Sink) -> None:
        tree = parse(text)
        if isinstance(tree, exp.Select) and tree.args.get("into") is not None:
            dml.select_into(self, tree, scope, sink)
            return
        if isinstance(tree, exp.Select) and any(
            isinstance(e, exp.EQ) and isinstance(e.this, exp.Parameter) for e in tree.expressions
        ):
            self._assign_from(tree, scope, sink)
            return
        if isinstance(tree, exp.Insert | exp.Update | exp.Delete):
            dml.run_tree(self, tree, scope, sink, None)
            return
        translator = self.translator(scope)
        query = translator.query(tree)
        self._start_reading()
        if self.format_only:
            sink.rows(self.describe(text, scope), ())
            sink.done(None)
            return
        large = any(c.type.is_max or (c.type.family == "string" and c.type.length == MAX) for c in query.columns)
        stream = seek.batches(self.cursor, translator, query, 512 if large else results.BATCH, self._open)
        columns = results.columns(query.columns, stream.schema)
        try:
            self.rowcount = sink.rows(columns, stream.read(lambda: self.cancelled))
        finally:
            stream.close()
        if self.cancelled:
            raise Cancelled
        sink.done(self.rowcount)

    def _start_reading(self) -> None:
        """Under SNAPSHOT and the levels above READ COMMITTED a transaction sees one state throughout."""
        if self.isolation == "SNAPSHOT":
            allowed = self.fetch("SELECT snapshot FROM memory.main.databases WHERE name = $1", [self.database])
            if not allowed[0][0]:
                raise SqlError(
                    3952,
                    f"Snapshot isolation transaction failed accessing database '{self.database}' because"
                    " snapshot isolation is not allowed in this database.",
                )
        if self.trancount and not self._open and self.isolation in ("SNAPSHOT", "SERIALIZABLE", "REPEATABLE READ"):
            self.cursor.execute("BEGIN TRANSACTION")
            self._open = True

    def fetch(self, sql: str, parameters: Any = None) -> list[Any]:
        """All rows of a statement in DuckDB's own SQL."""
        found: list[Any] = self.cursor.execute(sql, parameters).fetchall()
        return found

    def holds(self, condition: str, scope: Mapping[str, Variable]) -> bool:
        return bool(self.value(f"CASE WHEN {condition} THEN 1 ELSE 0 END", scope))

    def value(self, expression: str, scope: Mapping[str, Variable]) -> Any:
        """A scalar expression's value in stored form."""
        translator, query = self.translated(f"SELECT {expression}", scope)
        rows = self.cursor.execute(query.sql, translator.used or None).fetchall()
        return rows[0][0] if rows else None

    def typed(self, expression: str, want: SqlType, scope: Mapping[str, Variable]) -> Variable:
        """A scalar expression converted to a type."""
        from .convert import convert

        translator = self.translator(scope)
        tree = parse(f"SELECT {expression}").expressions[0]
        node, kind = translator.expr(tree.this if isinstance(tree, exp.Alias) else tree, Scope())
        made = convert(node, kind, want)
        rows = self.cursor.execute(f"SELECT {made.sql('duckdb')}", translator.used or None).fetchall()
        return Variable(want, results.stored_value(want, rows[0][0]))

    def _assign_from(self, tree: exp.Select, scope: dict[str, Variable], sink: Sink) -> None:
        targets = [e.this.this.name.lower() for e in tree.expressions]
        tree.set("expressions", [e.expression for e in tree.expressions])
        translator = self.translator(scope)
        query = translator.query(tree)
        rows = self.cursor.execute(query.sql, translator.used or None).fetchall()
        for index, name in enumerate(targets):
            if name not in scope:
                raise SqlError(137, f'Must declare the scalar variable "@{name}".', 15, 2)
            if rows:
                kind = scope[name].type
                scope[name] = Variable(kind, results.stored_value(kind, rows[-1][index]))
        self.rowcount = len(rows)
        sink.done(None)

    # Session statements

    def use(self, name: str, sink: Sink) -> None:
        real = self.instance.name_of(name)
        if real is None:
            raise SqlError(911, f"Database '{name}' does not exist. Make sure that the name is entered correctly.")
        before, self.database = self.database, real
        sink.database(real, before)
        sink.done(None)

    def _declare(self, text: str, scope: dict[str, Variable]) -> None:
        for item in split_commas(text.split(None, 1)[1]):
            found = re.match(
                r"@(\w+)\s+(?:AS\s+)?(\w+\s*(?:\([^)]*\))?)\s*(?:=\s*(.*))?$", item.strip(), re.IGNORECASE | re.DOTALL
            )
            if found is None:
                raise syntax(item.strip())
            kind = written_type(found[2])
            scope[found[1].lower()] = self.typed(found[3], kind, scope) if found[3] else Variable(kind, None)

    def _set(self, text: str, scope: dict[str, Variable], sink: Sink) -> None:
        words = text.rstrip("; \n").split()
        option = words[1].upper()
        if option.startswith("@"):
            found = re.match(r"SET\s+@(\w+)\s*=\s*(.*)$", text.strip().rstrip(";"), re.IGNORECASE | re.DOTALL)
            if found is None or found[1].lower() not in scope:
                raise SqlError(137, f'Must declare the scalar variable "{words[1]}".', 15, 2)
            name = found[1].lower()
            scope[name] = self.typed(found[2], scope[name].type, scope)
            return
        if option == "TRANSACTION":
            level = " ".join(words[4:]).upper()
            if level not in LEVELS:
                raise syntax(level)
            self.isolation = level
        elif option == "IMPLICIT_TRANSACTIONS":
            self.implicit = words[2].upper() == "ON"
        elif option == "IDENTITY_INSERT":
            name = words[2].replace("[", "").replace("]", "").split(".")[-1].lower()
            self.identity_insert = name if words[3].upper() == "ON" else None
        elif option == "FMTONLY":
            self.format_only = words[2].upper() == "ON"
        elif option == "LOCK_TIMEOUT":
            milliseconds = int(words[2])
            self.lock_timeout = None if milliseconds < 0 else milliseconds / 1000
        sink.done(None)

    # Transactions

    def _transaction_statement(self, word: str, text: str, sink: Sink) -> None:
        if word == "BEGIN":
            self.begin(sink)
        elif word == "COMMIT":
            self.commit(sink)
        elif word == "ROLLBACK":
            self.rollback(sink)
        sink.done(None)

    def begin(self, sink: Sink) -> None:
        self.trancount += 1
        if self.trancount == 1:
            sink.transaction("begin")

    def commit(self, sink: Sink) -> None:
        if self.trancount == 0:
            raise SqlError(3902, "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        self.trancount -= 1
        if self.trancount == 0:
            self._finish("COMMIT")
            sink.transaction("commit")

    def rollback(self, sink: Sink | None) -> None:
        if self.trancount == 0 and sink is not None:
            raise SqlError(3903, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        self.trancount = 0
        self._finish("ROLLBACK")
        if sink is not None:
            sink.transaction("rollback")

    def _finish(self, verb: str) -> None:
        try:
            if self._open:
                self.cursor.execute(verb)
        finally:
            self._open = False
            self.instance.turn.give_back(self)

    def _abandon(self, sink: Sink) -> None:
        """After an error inside DuckDB's transaction nothing of it can be kept, as under XACT_ABORT."""
        results.quiet(self.cursor)
        had = self._open
        try:
            self._finish("ROLLBACK")
        except duckdb.Error:
            self._open = False
        if had and self.trancount:
            self.trancount = 0
            sink.transaction("rollback")

    def write(self, action: Any) -> Any:
        """Run a change in the session's transaction, or in one of its own."""
        self.instance.turn.take(self, lambda: self.cancelled, self.lock_timeout)
        if not self._open:
            self.cursor.execute("BEGIN TRANSACTION")
            self._open = True
        made = action()
        if self.trancount == 0:
            self._finish("COMMIT")
        return made

    def interrupt(self) -> None:
        self.cancelled = True
        # The session may be closing at this very moment, on the thread that serves it.
        with contextlib.suppress(duckdb.ConnectionException):
            self.cursor.interrupt()

    def reset(self) -> None:
        """What sp_reset_connection does: as if newly logged in."""
        self.rollback(None)
        self.implicit, self.isolation, self.identity_insert = False, "READ COMMITTED", None
        self.format_only, self.lock_timeout = False, None

    def close(self) -> None:
        try:
            self.rollback(None)
        except duckdb.Error:
            self.instance.turn.give_back(self)
        self.cursor.close()


def _begins_a_transaction(word: str, text: str) -> bool:
    """Whether the statement does where SET IMPLICIT_TRANSACTIONS is on: a SELECT without a FROM does not."""
    if word == "SELECT":
        return " from " in f" {' '.join(text.lower().split())} "
    return word in _CHANGES or word in _DEFINITIONS


def _raised(text: str) -> SqlError:
    """The error of a RAISERROR or THROW."""
    found = re.search(r"N?'((?:[^']|'')*)'", text)
    number = re.match(r"THROW\s+(\d+)", text, re.IGNORECASE)
    return SqlError(int(number[1]) if number else 50000, found[1].replace("''", "'") if found else "")


def split_commas(text: str) -> list[str]:
    """Split at commas outside parentheses and quotes."""
    parts, depth, quote, last = [], 0, False, 0
    for at, letter in enumerate(text):
        if letter == "'":
            quote = not quote
        elif not quote:
            depth += {"(": 1, ")": -1}.get(letter, 0)
            if letter == "," and depth == 0:
                parts.append(text[last:at])
                last = at + 1
    return [*parts, text[last:]]


def written_type(text: str) -> SqlType:
    """A type as a declaration writes it: `decimal(10, 2)`. Raises SqlError 2715 or 243."""
    found = re.match(r"\s*([\w ]+?)\s*(?:\(([^)]*)\))?\s*(?:OUTPUT|OUT)?\s*$", text, re.IGNORECASE)
    if found is None:
        raise syntax(text)
    from ..tds.types import declared

    try:
        return declared(found[1], found[2].split(",") if found[2] else [])
    except (KeyError, ValueError):
        raise SqlError(2715, f"Cannot find data type {found[1]}.") from None


def declared_parameters(text: str | None) -> list[tuple[str, SqlType]]:
    """`@a int, @b nvarchar(10) OUTPUT` as names and types."""
    made = []
    for item in split_commas(text or ""):
        if item.strip():
            name, _, rest = item.strip().partition(" ")
            kind = re.sub(r"\s*=.*$", "", rest.strip())
            made.append((name.lstrip("@").lower(), written_type(kind)))
    return made
