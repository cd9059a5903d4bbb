"""Where a sandbox lives: its folder, its ports and passwords, which stay the same from start to start."""

from __future__ import annotations

import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Settings:
    """Kept in `settings.json`, readable by the owner only."""

    mssql_port: int
    postgres_port: int
    mssql_password: str
    restricted_password: str
    postgres_password: str
    mssql_user: str = "sa"
    restricted_user: str = "sem_direitos"
    """A login that may connect and read nothing, for the tests of refusals."""
    mssql_database: str = "BI_CLIENTES"
    postgres_user: str = "paralelo_writer"
    """Not the name of the ledger's schema, which an unqualified CREATE of that role would then go to."""
    postgres_database: str = "paralelo"


def default_folder() -> Path:
    """PARALELO_SANDBOX_DIR, or `.sandbox` in the project."""
    return Path(os.environ.get("PARALELO_SANDBOX_DIR") or PROJECT / ".sandbox").absolute()


def settings(folder: Path) -> Settings:
    """The sandbox's settings, made at its first use with free ports and random passwords."""
    path = folder / "settings.json"
    if path.exists():
        return Settings(**json.loads(path.read_text(encoding="utf-8")))
    folder.mkdir(parents=True, exist_ok=True)
    first, second = _free_ports(2)
    made = Settings(first, second, *(_password() for _ in range(3)))
    draft = folder / f"settings.{os.getpid()}.json"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(made), file, indent=2)
    draft.replace(path)
    return made


def _password() -> str:
    # Letters of each kind and a digit, as SQL Server's policy asks; nothing a connection string would quote.
    return "Pa1" + secrets.token_hex(16)


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


def environment(made: Settings) -> dict[str, str]:
    """The variables that point Paralelo at this sandbox."""
    return {
        "TAP_MSSQL_HOST": HOST,
        "TAP_MSSQL_PORT": str(made.mssql_port),
        "TAP_MSSQL_USER": made.mssql_user,
        "TAP_MSSQL_PASSWORD": made.mssql_password,
        "TAP_MSSQL_DATABASE": made.mssql_database,
        "TAP_MSSQL_ENCRYPT": "yes",
        "TAP_MSSQL_TRUST_SERVER_CERTIFICATE": "true",
        "TARGET_POSTGRES_HOST": HOST,
        "TARGET_POSTGRES_PORT": str(made.postgres_port),
        "TARGET_POSTGRES_USER": made.postgres_user,
        "TARGET_POSTGRES_PASSWORD": made.postgres_password,
        "TARGET_POSTGRES_DATABASE": made.postgres_database,
        # The embedded PostgreSQL listens on loopback only and was built without a certificate.
        "TARGET_POSTGRES_SSL_MODE": "disable",
        "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": "public",
    }
