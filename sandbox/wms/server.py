"""The stand-in's HTTP server: lists, describe, the list of entities; Basic and OAuth2; a log of every request."""

from __future__ import annotations

import base64
import json
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from sandbox.wms.answers import Answer, bent, list_answer
from sandbox.wms.describe import described, error
from sandbox.wms.entities import ENTITIES
from sandbox.wms.faults import Fault, Faults
from sandbox.wms.lists import Refused
from sandbox.wms.row_file import RowFile
from sandbox.wms.store import Store

TENANT = "/demo"
API = f"{TENANT}/wms/lgfapi/v10/entity/"
TOKEN = f"{TENANT}/oauth2/v1/token"
CONTROL = "/_sandbox/"
LOG = "requests.jsonl"


@dataclass(frozen=True)
class Account:
    """Who may read: Basic by user and password, OAuth2 by client id and secret."""

    user: str
    password: str
    client_id: str
    client_secret: str


class WmsServer:
    """One stand-in over one folder. `port` 0 takes a free one. Use as a context manager, or `start` and `stop`."""

    def __init__(self, folder: Path, account: Account, *, port: int = 0, latency: float = 0.0) -> None:
        self.account = account
        self.latency = latency
        self.token_seconds = 3600.0
        self.faults = Faults()
        self.store = Store(folder)
        self.files = {name: RowFile(entity, self.store) for name, entity in ENTITIES.items()}
        self.tokens: dict[str, float] = {}
        self.last_answer: dict[str, Answer] = {}
        self._in_flight = 0
        self._counting = threading.Lock()
        self.log_path = folder / LOG
        self._log = self.log_path.open("a", encoding="utf-8")
        self._http = _Http(("127.0.0.1", port), _Handler)
        self._http.stand_in = self
        self.port = int(self._http.server_address[1])
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """What the tap's base_url setting has to be."""
        return f"http://127.0.0.1:{self.port}{TENANT}"

    @property
    def token_url(self) -> str:
        """What the tap's token_url setting has to be."""
        return f"http://127.0.0.1:{self.port}{TOKEN}"

    def __enter__(self) -> WmsServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Serve in a thread."""
        self._thread = threading.Thread(target=self.serve, daemon=True)
        self._thread.start()

    def serve(self) -> None:
        """Serve until `stop`."""
        self._http.serve_forever(poll_interval=0.05)

    def stop(self) -> None:
        """Answer no more and write everything to disk."""
        self._http.shutdown()
        if self._thread is not None:
            self._thread.join()
        self._http.server_close()
        self._log.close()
        self.store.close()

    def mutate(self, entity: str, **changes: int) -> list[int]:
        """Change rows, as `Store.mutate`."""
        touched = self.store.mutate(ENTITIES[entity], **changes)
        self.files[entity].refresh(self.store.changed_ids(ENTITIES[entity]))
        return touched

    def log(self, entry: Mapping[str, Any]) -> None:
        """One line of the request log."""
        with self._counting:
            if not self._log.closed:
                self._log.write(json.dumps(entry) + "\n")
                self._log.flush()

    def enter(self) -> int:
        """One request more in flight; returns how many are."""
        with self._counting:
            self._in_flight += 1
            return self._in_flight

    def leave(self) -> None:
        """One request fewer."""
        with self._counting:
            self._in_flight -= 1


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    stand_in: WmsServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no error of the server's."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_version = "wms-stand-in"
    timeout = 600

    @property
    def stand_in(self) -> WmsServer:
        return cast(_Http, self.server).stand_in

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """The request log is written by the stand-in itself."""

    def do_GET(self) -> None:
        arrived, in_flight = time.time(), self.stand_in.enter()
        split = urlsplit(self.path)
        parameters = dict(parse_qsl(split.query, keep_blank_values=True))
        line = {"at": arrived, "in_flight": in_flight, "status": 0, "path": split.path, "query": split.query}
        in_flight_ends = ExitStack()
        in_flight_ends.callback(self.stand_in.leave)
        try:
            fault = self.stand_in.faults.next(split.path, split.query)
            wait = self.stand_in.latency + (fault.seconds if fault is not None else 0.0)
            if wait:
                time.sleep(wait)
            if fault is not None and fault.kind == "reset":
                self.close_connection = True
                return
            answer = self._answer(split.path, parameters, fault)
            # Before the answer: who has it finds its request in the log.
            self.stand_in.log({**line, "status": answer.status})
            line = {}
            self._send(answer, cut=fault is not None and fault.kind == "cut", before_end=in_flight_ends.close)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            in_flight_ends.close()
            if line:
                self.stand_in.log(line)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        if path == TOKEN:
            fault = self.stand_in.faults.next(path, "")
            busy = fault is not None and fault.kind == "status"
            self._send(_refused(fault, {"error": "busy"}) if busy and fault else self._token(body))
        elif path.startswith(CONTROL) and self._is_basic():
            self._send(self._control(path.removeprefix(CONTROL), json.loads(body or b"{}")))
        else:
            self._send(Answer.of(403, error("FORBIDDEN", "No access")))

    def _answer(self, path: str, parameters: Mapping[str, str], fault: Fault | None) -> Answer:
        if fault is not None and fault.kind == "status":
            return _refused(fault, error("INJECTED", f"Injected fault {fault.status}"))
        if fault is not None and fault.kind == "echo":
            said = f"{self.headers.get('Authorization')} {self.stand_in.account.password}"
            return Answer.of(400, error("VALIDATION_ERROR", f"Not understood: {said}"))
        if fault is not None and fault.kind == "redirect":
            return Answer.of(302, {}).with_header("Location", fault.location)
        if not self._is_basic() and not self._is_bearer():
            return Answer.of(401, error("UNAUTHORIZED", "Invalid credentials"))
        if not path.startswith(API):
            return Answer.of(404, error("NOT_FOUND", "No such resource"))
        rest = path.removeprefix(API).strip("/")
        base = f"http://{self.headers.get('Host')}"
        if not rest:
            listed = Answer.of(200, {name: f"{base}{API}{name}/" for name in sorted(ENTITIES)})
            return bent(listed, None, fault, base + self.path)
        name, _, operation = rest.partition("/")
        entity = ENTITIES.get(name)
        if entity is None or operation not in ("", "describe"):
            return Answer.of(404, error("NOT_FOUND", f"Entity {name} is not known"))
        if operation:
            return bent(Answer.of(200, described(entity)), None, fault, base + self.path)
        try:
            answer = list_answer(self.stand_in.store, self.stand_in.files[name], entity, parameters, base + path)
        except Refused as refused:
            return Answer.of(refused.status, error("VALIDATION_ERROR", str(refused), refused.details))
        before = self.stand_in.last_answer.get(name)
        self.stand_in.last_answer[name] = answer
        return bent(answer, before, fault, base + self.path)

    def _send(self, answer: Answer, *, cut: bool = False, before_end: Callable[[], None] = lambda: None) -> None:
        """`before_end` runs before who asked can have the whole answer, and ask for more."""
        if answer.dated:
            self.send_response(answer.status)
        else:
            self.send_response_only(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(answer.length))
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        if cut:
            self.wfile.write(bytes(answer.parts[0])[: answer.length // 2])
            self.close_connection = True
            return
        for part in answer.parts[:-1]:
            self.wfile.write(part)
        before_end()
        self.wfile.write(answer.parts[-1])

    def _is_basic(self) -> bool:
        account = self.stand_in.account
        wanted = base64.b64encode(f"{account.user}:{account.password}".encode()).decode()
        return secrets.compare_digest(self.headers.get("Authorization") or "", f"Basic {wanted}")

    def _is_bearer(self) -> bool:
        kind, _, token = (self.headers.get("Authorization") or "").partition(" ")
        return kind == "Bearer" and self.stand_in.tokens.get(token, 0.0) > time.time()

    def _token(self, body: bytes) -> Answer:
        account, form = self.stand_in.account, dict(parse_qsl(body.decode()))
        wanted = base64.b64encode(f"{account.client_id}:{account.client_secret}".encode()).decode()
        by_header = secrets.compare_digest(self.headers.get("Authorization") or "", f"Basic {wanted}")
        if not by_header or form.get("grant_type") != "client_credentials":
            return Answer.of(401, {"error": "invalid_client", "error_description": "Client authentication failed"})
        token = secrets.token_urlsafe(24)
        self.stand_in.tokens[token] = time.time() + self.stand_in.token_seconds
        self.stand_in.log({"at": time.time(), "path": TOKEN, "status": 200, "query": "", "in_flight": 0})
        return Answer.of(
            200, {"access_token": token, "token_type": "Bearer", "expires_in": int(self.stand_in.token_seconds)}
        )

    def _control(self, command: str, given: dict[str, Any]) -> Answer:
        """What the sandbox's own commands ask: never part of the API."""
        try:
            if command == "faults":
                self.stand_in.faults.set([Fault.read(one) for one in given["faults"]])
            elif command == "latency":
                self.stand_in.latency = float(given["seconds"])
            elif command == "revoke":
                self.stand_in.tokens.clear()
            elif command == "mutate":
                return Answer.of(200, {"touched": len(self.stand_in.mutate(**given))})
            else:
                return Answer.of(404, {"message": f"no command {command}"})
        except (KeyError, ValueError, TypeError) as problem:
            return Answer.of(400, {"message": f"{type(problem).__name__}: {problem}"})
        return Answer.of(200, {})


def _refused(fault: Fault, words: Mapping[str, Any]) -> Answer:
    answer = Answer.of(fault.status, words)
    return answer.with_header("Retry-After", fault.retry_after) if fault.retry_after else answer
