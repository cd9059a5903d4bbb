"""What a database says is told without a row's values."""

from __future__ import annotations

import asyncpg
import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from stores.refusals import refusal

WORDS = 'invalid input syntax for type integer: "a secret"'


@pytest.mark.parametrize(
    ("error", "told", "code"),
    [
        (psycopg.errors.InvalidTextRepresentation(WORDS), "PostgreSQL refused (22P02)", 1),
        (asyncpg.InvalidTextRepresentationError(WORDS), "PostgreSQL refused (22P02)", 1),
        (DBAPIError("SELECT 'a secret'", {}, psycopg.errors.CheckViolation(WORDS)), "PostgreSQL refused (23514)", 1),
        (psycopg.errors.InsufficientPrivilege("permission denied"), "PostgreSQL refused (42501): permission denied", 2),
    ],
)
def test_of_data_only_the_kind_is_told(error: Exception, told: str, code: int) -> None:
    assert refusal(error) == (told, code)
