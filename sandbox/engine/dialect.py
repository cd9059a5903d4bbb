"""Transact-SQL as sqlglot reads it, with the types that it takes for one another told apart."""

from __future__ import annotations

from sqlglot.dialects.tsql import TSQL


class SqlServer(TSQL):
    """`ntext` is a type of its own: read as `text`, it would hold what the code page holds."""

    class Tokenizer(TSQL.Tokenizer):
        KEYWORDS = {word: token for word, token in TSQL.Tokenizer.KEYWORDS.items() if word != "NTEXT"}  # noqa: RUF012
