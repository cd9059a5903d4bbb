"""A batch of T-SQL cut into statements.

T-SQL needs no semicolons, so a statement ends where the next one's first keyword stands. Only the control
flow that batches of drivers and of set-up scripts use is known here: BEGIN ... END, IF ... ELSE.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlglot
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from ..tds.errors import SqlError, syntax
from .dialect import SqlServer
from .facts import FUNCTIONS

STARTERS = frozenset(
    """
    SELECT INSERT UPDATE DELETE MERGE CREATE ALTER DROP TRUNCATE SET USE DECLARE BEGIN COMMIT ROLLBACK SAVE IF EXEC
    EXECUTE PRINT KILL GRANT DENY REVOKE RAISERROR THROW RETURN WITH WAITFOR DBCC CHECKPOINT
    """.split()  # noqa: SIM905  a list of thirty quoted words reads worse
)
PREFIX = "fn_"
"""Put before a built-in function's name, so that sqlglot leaves its meaning to `engine.functions`."""


@dataclass(frozen=True)
class Statement:
    """One statement: its first keyword in upper case and its text."""

    keyword: str
    text: str


@dataclass(frozen=True)
class Branch:
    """IF condition: one list of statements or the other."""

    condition: str
    then: tuple[Statement | Branch, ...]
    otherwise: tuple[Statement | Branch, ...]


Node = Statement | Branch


def parse(batch: str) -> tuple[Node, ...]:
    """The statements of a batch. Raises SqlError 102 or 105 where it cannot be cut."""
    try:
        tokens = sqlglot.tokenize(batch, read=SqlServer)
    except SqlglotError as error:
        raise SqlError(105, "Unclosed quotation mark after the character string.", 15) from error
    return tuple(_Cutter(batch, tokens).until_end())


def _word(token: Token) -> str:
    return "" if token.token_type in (TokenType.STRING, TokenType.IDENTIFIER) else token.text.upper()


class _Cutter:
    def __init__(self, batch: str, tokens: list[Token]) -> None:
        self.batch, self.tokens, self.at = batch, tokens, 0

    def peek(self, ahead: int = 0) -> str:
        index = self.at + ahead
        return _word(self.tokens[index]) if index < len(self.tokens) else ""

    @property
    def ended(self) -> bool:
        return self.at >= len(self.tokens)

    def until_end(self) -> list[Node]:
        nodes: list[Node] = []
        while not self.ended:
            if self.peek() == ";":
                self.at += 1
                continue
            nodes += self.statement()
        return nodes

    def statement(self) -> list[Node]:
        word = self.peek()
        if word == "BEGIN" and self.peek(1) not in ("TRAN", "TRANSACTION", "DISTRIBUTED"):
            return self.block()
        if word == "IF":
            return [self.branch()]
        start = self.at
        if self.tokens[start].text.startswith(("@", "{")) or (word not in STARTERS and word != "("):
            if (start == 0 and word and word.isidentifier()) or (start == 0 and self.peek(0) == ""):
                self.at = len(self.tokens)  # a procedure called by its bare name, allowed first in a batch
                return [Statement("EXEC", "EXEC " + self.text(start, self.at))]
            raise syntax(self.tokens[start].text)
        self.at += 1
        self.skip_rest(word)
        return [Statement("SELECT" if word in ("WITH", "(") else word, self.text(start, self.at))]

    def block(self) -> list[Node]:
        self.at += 1
        if self.peek() in ("TRY", "CATCH"):
            self.at += 1
        nodes: list[Node] = []
        while self.peek() != "END":
            if self.ended:
                raise syntax("BEGIN")
            if self.peek() == ";":
                self.at += 1
                continue
            nodes += self.statement()
        self.at += 1
        if self.peek() in ("TRY", "CATCH"):
            self.at += 1
        return nodes

    def branch(self) -> Branch:
        self.at += 1
        start, depth = self.at, 0
        while not self.ended and (depth or self.peek() not in STARTERS):
            depth += {"(": 1, ")": -1}.get(self.peek(), 0)
            self.at += 1
        condition = self.text(start, self.at)
        if self.ended:
            raise syntax("IF")
        then = self.statement()
        if self.peek() == ";" and self.peek(1) == "ELSE":
            self.at += 1
        otherwise: list[Node] = []
        if self.peek() == "ELSE":
            self.at += 1
            otherwise = self.statement()
        return Branch(condition, tuple(then), tuple(otherwise))

    def skip_rest(self, first: str) -> None:
        """Move past the tokens that belong to the statement that began with `first`."""
        second = self.peek()
        if first == "CREATE" and second in ("VIEW", "PROCEDURE", "PROC", "FUNCTION", "TRIGGER", "OR"):
            self.at = len(self.tokens)
            return
        # How often a keyword that could start a statement belongs to this one instead.
        own = {
            "INSERT": {"SELECT": 1, "WITH": 9, "EXEC": 1},
            "UPDATE": {"SET": 1, "WITH": 9},
            "SELECT": {"WITH": 9},
            "WITH": {"SELECT": 1, "INSERT": 1, "UPDATE": 1, "DELETE": 1},
            "(": {},
            "DELETE": {"WITH": 9},
            "CREATE": {"WITH": 9, "SET": 1, "USE": 0},
            "ALTER": {"WITH": 9, "ALTER": 1, "DROP": 9, "SET": 1},
            "MERGE": {"INSERT": 9, "UPDATE": 9, "DELETE": 9, "SET": 9, "WITH": 9, "SELECT": 9},
            "ROLLBACK": {"WITH": 1},
        }.get(first, {}).copy()
        depth = 0
        while not self.ended:
            word = self.peek()
            if not depth and word == ";":
                return
            if not depth and word in ("END", "ELSE") and first != "CASE" and not self.open_case:
                return
            if word == "CASE":
                self.cases += 1
            elif word == "END" and self.cases:
                self.cases -= 1
            if word == "VALUES" and not depth and first == "INSERT":
                own.pop("SELECT", None)
            if not depth and word in STARTERS and not self.continues(word) and first not in ("GRANT", "DENY", "REVOKE"):
                if own.get(word, 0) <= 0:
                    return
                own[word] -= 1
                if first == "WITH" and word != "SELECT":
                    own.setdefault("SET", 1)
            depth += {"(": 1, ")": -1}.get(word, 0)
            self.at += 1

    cases = 0

    @property
    def open_case(self) -> bool:
        return self.cases > 0

    def continues(self, word: str) -> bool:
        """Whether the keyword joins what stands before it: UNION SELECT, TABLE t SET, FOR UPDATE."""
        before = _word(self.tokens[self.at - 1]) if self.at else ""
        if word == "SELECT":
            return before in ("UNION", "ALL", "EXCEPT", "INTERSECT", "AS", "(")
        if word == "IF":
            return before in ("TABLE", "VIEW", "DATABASE", "INDEX", "COLUMN", "CONSTRAINT", "SCHEMA")
        if before == "ON":
            return word in ("DELETE", "UPDATE")
        return before in ("FOR", ".", "AS", "=") or (word == "WITH" and before == ")")

    def is_type(self, index: int, name: str) -> bool:
        """Whether `char` or `nchar` is the type and not the function."""
        if name not in ("char", "nchar") or index == 0:
            return False
        before = self.tokens[index - 1]
        earlier = _word(self.tokens[index - 2]) if index > 1 else ""
        if before.text == "(":
            return earlier in ("CONVERT", "TRY_CONVERT")
        return _word(before) == "AS" or before.token_type in (TokenType.IDENTIFIER, TokenType.VAR, TokenType.PARAMETER)

    def text(self, start: int, stop: int) -> str:
        """The source between two tokens, with the built-in functions under their own prefix."""
        if start >= stop:
            return ""
        parts, last = [], self.tokens[start].start
        for index in range(start, stop):
            token = self.tokens[index]
            following = self.tokens[index + 1].text if index + 1 < len(self.tokens) else ""
            before = self.tokens[index - 1].text if index else ""
            name = token.text.lower()
            if (
                name in FUNCTIONS
                and following == "("
                and before != "."
                and _word(token)
                and not self.is_type(index, name)
            ):
                parts += [self.batch[last : token.start], PREFIX + name]
                last = token.end + 1
            elif name == "real" and before != "." and _word(token):
                # sqlglot reads both `real` and `float` as one type; only the precision tells them apart.
                parts += [self.batch[last : token.start], "FLOAT(24)"]
                last = token.end + 1
        parts.append(self.batch[last : self.tokens[stop - 1].end + 1])
        return "".join(parts)
