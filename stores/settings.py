"""Where the stores' database is: `DATABASE_URL`, or `DATABASE_HOST` and its companions."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from dotenv import dotenv_values
from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

DRIVER = "postgresql+asyncpg"
_LAST_PORT = 65_535
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
ROOT = Path(__file__).resolve().parent.parent


def project_environment(root: Path = ROOT) -> dict[str, str]:
    """What the project's commands see: its `.env`, and over it the process's environment."""
    written = dotenv_values(root / ".env")
    return {**{name: value for name, value in written.items() if value}, **os.environ}


class SettingsError(ValueError):
    """A `DATABASE_*` setting is missing or cannot be read. The message never shows the password."""


@dataclass(frozen=True)
class DatabaseSettings:
    """One PostgreSQL database and how many connections to it there are at most.

    `pool_size` of them serve the repositories' statements, `max_overflow` SQLAlchemy's sessions; a caller waits at most
    `pool_timeout_seconds` for one.
    """

    host: str = "localhost"
    port: int = 5432
    name: str = "paralelo"
    user: str = "paralelo"
    password: str | None = field(default=None, repr=False)
    options: Mapping[str, str] = field(default_factory=dict)
    pool_size: int = 10
    max_overflow: int = 20
    pool_timeout_seconds: float = 30

    def __post_init__(self) -> None:
        if not 0 < self.port <= _LAST_PORT:
            raise SettingsError(f"a port is a number from 1 to {_LAST_PORT}, not {self.port}")
        if self.ssl_mode not in (None, *_SSL_MODES):
            raise SettingsError(f"sslmode is one of {', '.join(_SSL_MODES)}, not {self.ssl_mode}")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> DatabaseSettings:
        """`DATABASE_URL` where it is set, else `DATABASE_HOST`, `_PORT`, `_NAME`, `_USER`, `_PASSWORD`; and
        `DATABASE_POOL_SIZE`, `DATABASE_MAX_OVERFLOW`. Raises SettingsError.
        """
        env = os.environ if environment is None else environment
        pool: dict[str, Any] = {
            "pool_size": _whole(env, "DATABASE_POOL_SIZE", 10),
            "max_overflow": _whole(env, "DATABASE_MAX_OVERFLOW", 20),
        }
        if env.get("DATABASE_URL"):
            return cls.from_url(env["DATABASE_URL"], **pool)
        return cls(
            host=env.get("DATABASE_HOST") or "localhost",
            port=_whole(env, "DATABASE_PORT", 5432),
            name=env.get("DATABASE_NAME") or "paralelo",
            user=env.get("DATABASE_USER") or "paralelo",
            password=env.get("DATABASE_PASSWORD") or None,
            **pool,
        )

    @classmethod
    def from_url(cls, text: str, **more: Any) -> DatabaseSettings:
        """From a URL of any PostgreSQL driver: `postgresql://`, `postgresql+asyncpg://`. Raises SettingsError.

        As in libpq, what its query says of the server (`?host=/run/postgresql`) stands before what comes earlier.
        """
        try:
            url = make_url(text)
        except (ArgumentError, ValueError):  # the latter for a port that is no number
            # Not `from error`: the message repeats the URL or a part of it, and with it the password.
            raise SettingsError("DATABASE_URL is no URL: postgresql://user:password@host:port/name") from None
        if url.get_backend_name() not in ("postgresql", "postgres"):
            raise SettingsError(f"DATABASE_URL names {url.get_backend_name()}; the stores live in PostgreSQL")
        options = {key: value if isinstance(value, str) else value[-1] for key, value in url.query.items()}
        return cls(
            host=options.pop("host", "") or url.host or "localhost",
            port=_whole({"port": options.pop("port", "")}, "port", url.port or 5432),
            name=options.pop("dbname", "") or url.database or "paralelo",
            user=options.pop("user", "") or url.username or "paralelo",
            password=options.pop("password", "") or url.password,
            options=options,
            **more,
        )

    @property
    def url(self) -> URL:
        """For SQLAlchemy; its `str()` hides the password."""
        return URL.create(DRIVER, self.user, self.password, self.host, self.port, self.name)

    @property
    def asyncpg(self) -> dict[str, Any]:
        """Parameters for `asyncpg.connect`."""
        return {
            "host": self.host,
            "port": self.port,
            "database": self.name,
            "user": self.user,
            "password": self.password,
            "timeout": 10,
            **self.security,
        }

    @property
    def security(self) -> dict[str, Any]:
        """TLS as the URL asks for it, for asyncpg: libpq's `sslmode` is its `ssl`, and it takes files in a URL only.

        Raises SettingsError for a file that is not there.
        """
        mode = {} if self.ssl_mode is None else {"ssl": self.ssl_mode}
        files = self.certificates
        of_the_system = files.get("sslrootcert") == "system"
        for name, file in files.items():
            if not (Path(file).is_file() or (of_the_system and name == "sslrootcert")):
                raise SettingsError(f"{name}: there is no file {file}")
        if of_the_system:  # the authorities that the system trusts, and the host's name
            context = ssl.create_default_context()
            if "sslcert" in files:
                context.load_cert_chain(files["sslcert"], files.get("sslkey"))
            return {"ssl": context}
        return {**mode, "dsn": f"postgresql://?{urlencode(files)}"} if files else mode

    @property
    def ssl_mode(self) -> str | None:
        """libpq's name for the TLS mode, or None where none is asked for."""
        by_authority = "verify-full" if self.options.get("sslrootcert") == "system" else None
        mode = self.options.get("sslmode") or self.options.get("ssl") or by_authority
        return None if mode is None else {"true": "require", "false": "disable"}.get(mode, mode)

    @property
    def certificates(self) -> dict[str, str]:
        """The files that the URL names for TLS, as libpq calls them; `sslrootcert` may be `system`."""
        return {name: self.options[name] for name in ("sslrootcert", "sslcert", "sslkey") if name in self.options}

    def libpq(self, application: str) -> dict[str, Any]:
        """Parameters for `psycopg.connect`."""
        options = {name: value for name, value in self.options.items() if name not in ("ssl", "sslmode")}
        return {
            "host": self.host,
            "port": self.port,
            "dbname": self.name,
            "user": self.user,
            "password": self.password,
            "application_name": application,
            **options,
            **({} if self.ssl_mode is None else {"sslmode": self.ssl_mode}),
        }


def _whole(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name)
    if not text:
        return default
    if not text.isdecimal():
        raise SettingsError(f"{name} must be a whole number, not {text!r}")
    return int(text)
