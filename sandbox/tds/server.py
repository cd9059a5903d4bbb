"""The listener: a thread per client, a registry of sessions, and ways to cut them."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import socketserver
import threading

from pysqlbridge.certificate import Certificate, self_signed
from pysqlbridge.logins import Login, LoginStore
from pysqlbridge.tds.packet import PacketStatus, PacketType, TdsProtocolError
from pysqlbridge.tds.tls import TlsError

from ..engine.instance import Instance
from ..engine.session import Session
from .connection import ClientConnection, Closed
from .errors import Cancelled
from .requests import Requests
from .respond import Response
from .tokens import ATTENTION, DONE, done

log = logging.getLogger(__name__)
LOGIN_SECONDS = 30.0


class Watcher:
    """Sees a client's ATTENTION, or its going away, while a request runs, and interrupts the session.

    A client sends nothing during a request but ATTENTION, so that any byte on the socket means it.
    """

    def __init__(self, sock: socket.socket, session: Session) -> None:
        self._socket, self._session = sock, session
        self._busy, self._idle = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._ended = False
        self._request = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def begin(self) -> None:
        with self._lock:
            self._request += 1
            self._session.cancelled = False
            self._idle.clear()
            self._busy.set()

    def end(self) -> None:
        """Called before a response's last packet, after which the client may send its next request."""
        with self._lock:
            self._busy.clear()
            self._idle.set()

    def stop(self) -> None:
        self._ended = True
        self._idle.set()
        self._busy.set()

    def _watch(self) -> None:
        poll = select.poll()
        with contextlib.suppress(OSError, ValueError):
            poll.register(self._socket, select.POLLIN | select.POLLHUP)
        while True:
            self._busy.wait()
            if self._ended:
                return
            # Most requests are over before anything could be cancelled.
            request = self._request
            if self._idle.wait(0.02):
                continue
            with contextlib.suppress(OSError, ValueError):
                if not poll.poll(50):
                    continue
            with self._lock:
                # Bytes that came after this request's end are the next one, not a cancellation.
                if request == self._request and self._busy.is_set() and not self._session.cancelled:
                    self._session.interrupt()
            self._idle.wait(0.05)


class Handler(socketserver.BaseRequestHandler):
    server: SqlServer

    def handle(self) -> None:
        sock: socket.socket = self.request
        sock.settimeout(LOGIN_SECONDS)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        instance = self.server.instance
        connection = ClientConnection(sock, self.server.certificate, self.server.logins, instance.has)
        try:
            if not connection.log_in():
                # The refusal has to reach the client before the socket goes.
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_WR)
                    sock.recv(1)
                return
            sock.settimeout(None)
            self._serve(sock, connection, instance)
        except (Closed, OSError, TlsError):
            return
        except TdsProtocolError as problem:
            log.warning("a client broke the protocol: %s", problem)

    def _serve(self, sock: socket.socket, connection: ClientConnection, instance: Instance) -> None:
        login = connection.login
        session = Session(
            instance,
            connection.user,
            connection.database,
            connection.spid,
            login.host_name if login else "",
            login.app_name if login else "",
            connection.user.lower() in self.server.administrators,
        )
        self.server.enter(connection.spid, sock, session)
        watcher = Watcher(sock, session)
        requests = Requests(connection, session)
        try:
            while True:
                self._one(connection, session, watcher, requests)
        finally:
            watcher.stop()
            self.server.leave(connection.spid)
            session.close()

    def _one(self, connection: ClientConnection, session: Session, watcher: Watcher, requests: Requests) -> None:
        message = connection.next_message()
        writer = connection.writer()
        if message.type is PacketType.ATTENTION:
            writer.write(done(DONE, ATTENTION, 0, connection.tds_version))
            writer.finish()
            return
        if message.status & PacketStatus.RESET_CONNECTION:
            session.reset()
            session.database = connection.database
        response = Response(connection, writer, message.type is PacketType.RPC)
        watcher.begin()
        try:
            failed = requests.answer(message, response)
        except Cancelled:
            watcher.end()
            connection.await_attention()
            response.finish(cancelled=True)
            return
        finally:
            watcher.end()
        response.finish(failed=failed)


class SqlServer(socketserver.ThreadingTCPServer):
    """A SQL Server stand-in on a loopback port. `logins` are names and passwords, `administrators` names."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        instance: Instance,
        logins: dict[str, str],
        administrators: frozenset[str] = frozenset({"sa"}),
        port: int = 0,
        certificate: Certificate | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.instance = instance
        self.certificate = certificate or self_signed("localhost")
        self.logins = LoginStore([Login(name, password, False) for name, password in logins.items()])
        self.administrators = frozenset(name.lower() for name in administrators)
        self._open: dict[int, tuple[socket.socket, Session]] = {}
        self._guard = threading.Lock()
        instance.kill = self.kill
        super().__init__((host, port), Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def start(self) -> SqlServer:
        """Serve in a thread of this process."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening and hang up on every client."""
        self.shutdown()
        self.server_close()
        self.cut_connections()

    def cut_connections(self) -> int:
        """Hang up on every client as a network failure would; returns how many there were."""
        with self._guard:
            spids = list(self._open)
        return sum(self.kill(spid) for spid in spids)

    def kill(self, spid: int) -> bool:
        with self._guard:
            found = self._open.get(spid)
        if found is None:
            return False
        sock, session = found
        session.interrupt()
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        return True

    def enter(self, spid: int, sock: socket.socket, session: Session) -> None:
        with self._guard:
            self._open[spid] = (sock, session)
        session.fetch(
            "INSERT INTO memory.main.sessions SELECT $1, $2, $3, $4, database_id, 'running', now()::TIMESTAMP, 2, 0"
            " FROM memory.main.databases WHERE name = $5",
            [spid, session.login, session.host, session.application, session.database],
        )

    def leave(self, spid: int) -> None:
        with self._guard:
            self._open.pop(spid, None)
        with contextlib.suppress(Exception):
            self.instance.connection.cursor().execute("DELETE FROM memory.main.sessions WHERE session_id = $1", [spid])
