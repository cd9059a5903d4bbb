"""A server between the driver and the stand-in whose answer to one query is planted: tokens of [MS-TDS] and endings."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Sequence

from tests.loopback_proxy import LoopbackProxy

Piece = bytes | Callable[[socket.socket], None]
QUERY = "SELECT planted"
_MARK = "planted".encode("utf-16-le")
_BATCH, _RPC, _RESPONSE, _ATTENTION = 1, 3, 4, 6
_ERROR, _INFO, _DONE, _ROW, _COLUMNS = 0xAA, 0xAB, 0xFD, b"\xd1", 0x81
COUNT, FAILED, CANCELLED, SERVER_ERROR, MORE = 0x10, 0x02, 0x20, 0x100, 0x01
"""Of a DONE's status: the count holds, the statement failed, an attention's answer, it was given up, more follows."""


class Planted(LoopbackProxy):
    """Answers the query that holds `planted` by `pieces`, bytes and what is done to the socket; passes on all else."""

    def __init__(self, target: tuple[str, int], pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self.attentions = 0
        super().__init__(target)

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if data[0] in (_BATCH, _RPC) and _MARK in data:
                    for piece in self._pieces:
                        source.sendall(piece) if isinstance(piece, bytes) else piece(source)
                elif data[0] == _ATTENTION:
                    self.attentions += 1
                    source.sendall(b"".join(packets(done(CANCELLED))))
                else:
                    sink.sendall(data)
        self._end(source, sink)


def fin(connection: socket.socket) -> None:
    """End the connection in good order."""
    connection.shutdown(socket.SHUT_RDWR)


def packets(tokens: bytes, *, size: int = 4096, ended: bool = True) -> list[bytes]:
    """A response in packets of that size; not `ended`, the last one does not say that it is the last."""
    room = size - 8
    parts = [tokens[start : start + room] for start in range(0, len(tokens), room)] or [b""]
    heads = [
        struct.pack(">BBHHBB", _RESPONSE, ended and number == len(parts), len(part) + 8, 0, number & 0xFF, 0)
        for number, part in enumerate(parts, 1)
    ]
    return [head + part for head, part in zip(heads, parts, strict=True)]


def columns() -> bytes:
    """Of a result with `id int NOT NULL` and `name nvarchar(20)`."""
    kind, collation = b"\xe7", b"\x09\x04\xd0\x00\x34"
    number = struct.pack("<IH", 0, 8) + b"\x38" + _short("id")
    text = struct.pack("<IH", 0, 9) + kind + struct.pack("<H", 40) + collation + _short("name")
    return struct.pack("<BH", _COLUMNS, 2) + number + text


def rows(first: int, end: int) -> bytes:
    """Rows of `columns`: `(n, 'row n')`, and NULL for each third."""
    found = []
    for number in range(first, end):
        text = f"row {number}".encode("utf-16-le")
        value = struct.pack("<H", len(text)) + text if number % 3 else b"\xff\xff"
        found.append(_ROW + struct.pack("<i", number) + value)
    return b"".join(found)


def error(text: str = "boom", *, number: int = 50_000, level: int = 16) -> bytes:
    """An error of the server's, of that class."""
    return _message(_ERROR, text, number, level)


def printed(text: str = "hello") -> bytes:
    """What PRINT, or a warning, sends."""
    return _message(_INFO, text, 0, 0)


def done(status: int = COUNT, count: int = 0) -> bytes:
    """The end of a statement."""
    return struct.pack("<BHHQ", _DONE, status, 0xC1, count)


def _message(token: int, text: str, number: int, level: int) -> bytes:
    words = text.encode("utf-16-le")
    body = struct.pack("<iBBH", number, 1, level, len(words) // 2) + words + _short("server") + _short("")
    body += struct.pack("<I", 1)
    return struct.pack("<BH", token, len(body)) + body


def _short(text: str) -> bytes:
    data = text.encode("utf-16-le")
    return bytes([len(data) // 2]) + data
