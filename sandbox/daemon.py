"""The stand-in's own process: the TDS listener, and a socket for the commands of `python -m sandbox`.

The control socket is a file only the owner can open. One JSON object a line, one JSON answer.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socketserver
import sys
import threading
from pathlib import Path
from typing import Any

from pysqlbridge.certificate import Certificate, self_signed

from .control import control_path
from .data.load import counted, load
from .data.tables import DATABASE, TABLES
from .engine.instance import Instance
from .home import Settings, settings
from .tds.server import SqlServer

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
"""A signal that comes just before a wait begins does not end it."""


class _Control(socketserver.StreamRequestHandler):
    server: ControlServer

    def handle(self) -> None:
        for line in self.rfile:
            try:
                answer = self.server.answer(json.loads(line))
            except Exception as problem:  # a command must be told, and the stand-in must go on
                log.exception("a command failed")
                answer = {"error": f"{type(problem).__name__}: {problem}"}
            self.wfile.write(json.dumps(answer).encode() + b"\n")


class ControlServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, folder: Path, instance: Instance, server: SqlServer) -> None:
        self.instance, self.sql, self.ended = instance, server, threading.Event()
        self.loading = threading.Lock()
        path = control_path(folder)
        path.unlink(missing_ok=True)
        super().__init__(str(path), _Control)
        path.chmod(0o600)

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        verb = question["do"]
        if verb == "status":
            return {
                "pid": os.getpid(),
                "port": self.sql.port,
                "sessions": len(self.instance.sessions),
                "rows": {t: counted(self.instance, t) for t in TABLES},
            }
        if verb == "load":
            with self.loading:
                table, rows = question["table"], question["rows"]
                database = question.get("database", DATABASE)
                held = counted(self.instance, table, database)
                if (question.get("if_empty") and held) or (question.get("keep") and held == rows):
                    return {"rows": held, "loaded": False}
                made = load(self.instance, table, rows, question.get("seed", 7), database)
                return {"rows": made, "loaded": True}
        if verb == "cut":
            return {"cut": self.sql.cut_connections()}
        if verb == "stop":
            self.ended.set()
            return {"stopping": True}
        raise ValueError(f"unknown command {verb!r}")


def _certificate(folder: Path) -> Certificate:
    """The server's certificate, kept so that a client may pin it."""
    pem, key = folder / "server.crt", folder / "server.key"
    if pem.exists() and key.exists():
        return Certificate(pem.read_bytes(), key.read_bytes())
    made = self_signed("localhost", validity_days=3650)
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(made.key_pem)
    pem.write_bytes(made.cert_pem)
    return made


def serve(folder: Path, made: Settings) -> None:
    """Run until told to stop."""
    instance = Instance(folder / "sqlserver")
    if not instance.has(DATABASE):
        instance.create_database(DATABASE)
    logins = {made.mssql_user: made.mssql_password, made.restricted_user: made.restricted_password}
    server = SqlServer(instance, logins, frozenset({made.mssql_user}), made.mssql_port, _certificate(folder))
    control = ControlServer(folder, instance, server)
    server.start()
    threading.Thread(target=control.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: control.ended.set())
    while not control.ended.wait(_LOOK_SECONDS):
        pass
    control.shutdown()
    server.stop()
    with contextlib.suppress(Exception):
        instance.checkpoint()
    control_path(folder).unlink(missing_ok=True)
    logging.shutdown()
    # Sessions' threads may still be inside DuckDB; waiting for them would make stopping depend on clients.
    os._exit(0)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    place = Path(sys.argv[1])
    serve(place, settings(place))
