"""One client's connection: pysqlbridge's handshake and login, then messages in and packets out."""

from __future__ import annotations

import socket
from collections.abc import Callable

from pysqlbridge.certificate import Certificate
from pysqlbridge.tds.connection import Connection, ConnectionState
from pysqlbridge.tds.packet import Message, PacketType
from pysqlbridge.tds.prelogin import Version
from pysqlbridge.tds.token import DoneStatus, EnvChangeType, done, env_change, error, login_response

from .stream import PacketWriter

SERVER_NAME = "PARALELO"
VERSION = Version(major=16, minor=0, build=1000, subbuild=6)
"""SQL Server 2022, the level of T-SQL the stand-in answers."""
RECEIVE = 65536


class Closed(Exception):
    """The client hung up."""


class ClientConnection(Connection):  # type: ignore[misc]  # pysqlbridge carries no types
    """The handshake's state machine, with a login that checks the database and honours the packet size."""

    def __init__(
        self, sock: socket.socket, certificate: Certificate, logins: object, database_exists: Callable[[str], bool]
    ) -> None:
        super().__init__(certificate, version=VERSION, server_name=SERVER_NAME, logins=logins)
        self._socket = sock
        self._database_exists = database_exists
        self.packet_size = 4096
        self._descriptor = 0x2100000000

    @property
    def user(self) -> str:
        return self._login.user_name if self._login else ""

    @property
    def database(self) -> str:
        return str(self._database)

    @property
    def tds_version(self) -> int:
        return int(self._tds_version)

    @property
    def spid(self) -> int:
        return int(self._spid)

    def _finish_login(self, responses: list[bytes]) -> None:
        from pysqlbridge.tds.packet import next_session_id

        assert self._login is not None
        self._spid = next_session_id()
        wanted = self._login.database or "master"
        if not self._database_exists(wanted):
            text = f'Cannot open database "{wanted}" requested by the login. The login failed.'
            refused = error(4060, text, severity=11, server=SERVER_NAME, tds_version=self._tds_version)
            refused += error(
                18456,
                f"Login failed for user '{self.user}'.",
                severity=14,
                server=SERVER_NAME,
                tds_version=self._tds_version,
            )
            self._send(responses, refused + done(status=DoneStatus.ERROR, tds_version=self._tds_version))
            self._state = ConnectionState.FAILED
            return
        self._database = wanted
        asked = self._login.packet_size
        self.packet_size = min(max(asked, 512), 32767) if asked else 4096
        self._send(
            responses,
            login_response(
                version=(VERSION.major, VERSION.minor, VERSION.build),
                server_name=SERVER_NAME,
                database=wanted,
                packet_size=self.packet_size,
                tds_version=self._tds_version,
            ),
        )
        self._state = ConnectionState.READY

    def _step(self, responses: list[bytes]) -> bool:
        # After login `next_message` reads; the state machine must leave what is buffered alone.
        return self._state is not ConnectionState.READY and bool(super()._step(responses))

    def log_in(self) -> bool:
        """Carry the client through the handshake. False when it was refused; raises Closed when it left."""
        while self._state not in (ConnectionState.READY, ConnectionState.FAILED):
            data = self._socket.recv(RECEIVE)
            if not data:
                raise Closed
            for response in self.receive(data):
                self._socket.sendall(response)
        return bool(self._state is ConnectionState.READY)

    def next_message(self) -> Message:
        """The next whole request. Raises Closed when the client hung up."""
        while True:
            message = self._take_message()
            if message is not None:
                return message
            data = self._socket.recv(RECEIVE)
            if not data:
                raise Closed
            self._buffer += data

    def await_attention(self) -> None:
        """Read on to the ATTENTION that interrupted a request."""
        while self.next_message().type is not PacketType.ATTENTION:
            pass

    def transaction_change(self, change: str) -> bytes:
        """The ENVCHANGE that tells a client of its transaction's beginning or end, with its descriptor."""
        if change == "begin":
            self._descriptor += 1
            return bytes(env_change(EnvChangeType.BEGIN_TRAN, self._descriptor.to_bytes(8, "little"), b""))
        kind = EnvChangeType.COMMIT_TRAN if change == "commit" else EnvChangeType.ROLLBACK_TRAN
        return bytes(env_change(kind, b"", self._descriptor.to_bytes(8, "little")))

    def writer(self) -> PacketWriter:
        tunnel = self._tunnel if self._session_encrypted else None
        return PacketWriter(self._socket, tunnel, self.packet_size, self._spid)
