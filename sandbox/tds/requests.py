"""Requests of a logged-in client: batches, procedure calls, transactions; each against the session."""

from __future__ import annotations

import logging
import struct
from collections.abc import Sequence
from typing import Any

import duckdb
from pysqlbridge.tds.batch import parse_sql_batch
from pysqlbridge.tds.packet import Message, PacketType
from pysqlbridge.tds.transaction import TransactionRequestType, parse_transaction_request

from ..engine import procedures
from ..engine.session import Session, declared_parameters
from ..engine.translate import Variable
from .connection import ClientConnection
from .errors import Cancelled, SqlError
from .parameters import Call, Parameter, read_calls
from .respond import Response
from .tokens import return_status, return_value
from .types import INT

log = logging.getLogger(__name__)


class Prepared:
    """A statement a client prepared: its text and its parameters' declaration."""

    def __init__(self, declared: str | None, text: str) -> None:
        self.parameters = declared_parameters(declared)
        self.text = text


class Requests:
    """What one connection asks, answered in turn."""

    def __init__(self, connection: ClientConnection, session: Session) -> None:
        self.connection, self.session = connection, session
        self.prepared: dict[int, Prepared] = {}
        self._handle = 0

    def answer(self, message: Message, response: Response) -> bool:
        """Run one request. Returns whether it failed; raises Cancelled."""
        try:
            if message.type is PacketType.SQL_BATCH:
                self.session.run(parse_sql_batch(message.payload, self.connection.tds_version), {}, response)
            elif message.type is PacketType.RPC:
                for call in read_calls(message.payload, self.connection.tds_version):
                    self._call(call, response)
            elif message.type is PacketType.TRANSACTION_MANAGER:
                self._transaction(message, response)
            else:
                response.error(SqlError(50000, f"The stand-in does not take a {message.type.name} request."))
                return True
        except SqlError as problem:
            response.error(problem)
            return True
        except (Cancelled, OSError):
            raise
        except duckdb.Error as problem:
            response.error(SqlError(50000, str(problem).split("\n", 1)[0]))
            return True
        except Exception as problem:  # the client must get an answer, and the log the cause
            log.exception("a request failed inside the stand-in")
            response.error(SqlError(50000, f"The stand-in failed: {type(problem).__name__}: {problem}"))
            return True
        return False

    def _transaction(self, message: Message, response: Response) -> None:
        request = parse_transaction_request(message.payload, self.connection.tds_version)
        if request.kind is TransactionRequestType.BEGIN_XACT:
            self.session.begin(response)
        elif request.kind is TransactionRequestType.COMMIT_XACT:
            self.session.commit(response)
            self._chain(message, response)
        elif request.kind is TransactionRequestType.ROLLBACK_XACT:
            self.session.rollback(response)
            self._chain(message, response)
        elif request.kind is not TransactionRequestType.SAVE_XACT:
            raise SqlError(3910, "The stand-in takes no part in distributed transactions.")

    def _chain(self, message: Message, response: Response) -> None:
        """A commit or rollback may ask for the next transaction to begin at once."""
        body = message.payload[struct.unpack_from("<I", message.payload)[0] + 2 :]
        if body and len(body) > 1 + body[0] and body[1 + body[0]] & 1:
            self.session.begin(response)

    def _call(self, call: Call, response: Response) -> None:
        name = call.procedure.lower().split(".")[-1].strip("[]")
        arguments = call.parameters
        response.returned = return_status(0)
        if name == "sp_executesql":
            self._run(_text(arguments[0]), _declared(arguments), arguments[2:], response, 2)
        elif name == "sp_prepexec":
            made = self._prepare(_text(arguments[1]), _text(arguments[2]))
            response.returned += return_value(0, arguments[0].name, INT, made)
            self._execute(made, arguments[3:], response, 3)
        elif name == "sp_prepare":
            made = self._prepare(_text(arguments[1]), _text(arguments[2]))
            response.returned += return_value(0, arguments[0].name, INT, made)
            self._describe(made, response)
        elif name == "sp_execute":
            self._execute(_number(arguments[0]), arguments[1:], response, 1)
        elif name == "sp_unprepare":
            self.prepared.pop(_number(arguments[0]), None)
        elif name.startswith("sp_cursor"):
            raise SqlError(16902, f"{name}: server cursors are not answered by the stand-in.")
        else:
            procedures.call(self.session, name, [(p.name.lower(), p.value) for p in arguments], response)

    def _prepare(self, declared: str, text: str) -> int:
        self._handle += 1
        self.prepared[self._handle] = Prepared(declared, text)
        return self._handle

    def _describe(self, handle: int, response: Response) -> None:
        """sp_prepare answers with the columns of the statement, when it has any that can be told."""
        one = self.prepared[handle]
        if one.text.lstrip()[:6].lower() not in ("select", "with c"):
            return
        try:
            columns = self.session.describe(one.text, {n: Variable(k, None) for n, k in one.parameters})
        except (SqlError, duckdb.Error):
            return
        response.rows(columns, ())
        response.done(None)

    def _execute(self, handle: int, arguments: Sequence[Parameter], response: Response, first: int) -> None:
        one = self.prepared.get(handle)
        if one is None:
            raise SqlError(8179, f"Could not find prepared statement with handle {handle}.", 16, 2)
        self._run(one.text, one.parameters, arguments, response, first)

    def _run(self, text: str, declared: Any, arguments: Sequence[Parameter], response: Response, first: int) -> None:
        scope: dict[str, Variable] = {}
        kinds = dict(declared)
        for index, argument in enumerate(arguments):
            name = argument.name.lower() or (declared[index][0] if index < len(declared) else f"p{index + 1}")
            scope[name] = self._converted(argument, kinds.get(name))
        missing = [n for n, _ in declared if n not in scope]
        if missing:
            raise SqlError(
                8178, f"The parameterized query expects the parameter '@{missing[0]}', which was not supplied."
            )
        after = self.session.run(text, scope, response)
        for index, argument in enumerate(arguments):
            if argument.is_output:
                name = argument.name.lower() or declared[index][0]
                value = after[name]
                response.returned += return_value(first + index, argument.name, value.type, value.value)

    def _converted(self, argument: Parameter, want: Any) -> Variable:
        """The argument in the type the statement declares for it."""
        if want is None or want == argument.type or argument.value is None:
            return Variable(want or argument.type, argument.value)
        if want.family == argument.type.family and want.family in ("string", "binary", "ticks", "int", "float", "bit"):
            if want.family == "int" and want.kind.size < argument.type.kind.size:
                return self._cast(argument, want)
            return Variable(argument.type if want.family == "ticks" else want, argument.value)
        return self._cast(argument, want)

    def _cast(self, argument: Parameter, want: Any) -> Variable:
        return self.session.typed("@value", want, {"value": Variable(argument.type, argument.value)})


def _text(parameter: Parameter) -> str:
    return str(parameter.value or "")


def _declared(arguments: Sequence[Parameter]) -> Any:
    return declared_parameters(_text(arguments[1])) if len(arguments) > 1 else []


def _number(parameter: Parameter) -> int:
    return int(str(parameter.value or 0))
