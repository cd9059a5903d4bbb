"""A message to the client, cut into packets of the size it asked for and sent as it is made."""

from __future__ import annotations

import socket
import threading
from typing import Any

import numpy as np
from pysqlbridge.tds.tls import TlsTunnel

HEADER = 8
FLUSH_AT = 256 * 1024


class PacketWriter:
    """One TABULAR_RESULT message. Holds at most `FLUSH_AT` bytes plus what one `write` brings."""

    def __init__(self, sock: socket.socket, tunnel: TlsTunnel | None, packet_size: int, spid: int) -> None:
        self._socket = sock
        self._tunnel = tunnel
        self._body = packet_size - HEADER
        self._spid = spid
        self._packet_id = 1
        self._held = bytearray()
        self.lock = threading.Lock()

    def write(self, data: bytes | memoryview) -> None:
        self._held += data
        if len(self._held) >= FLUSH_AT:
            self._send_whole_packets()

    def _send_whole_packets(self) -> None:
        # The last packet stays held, because only `finish` knows that it is the last.
        count = (len(self._held) - 1) // self._body
        if count <= 0:
            return
        size = self._body + HEADER
        packets = np.empty((count, size), np.uint8)
        with memoryview(self._held) as held:
            packets[:, HEADER:] = np.frombuffer(held[: count * self._body], np.uint8).reshape(count, self._body)
        packets[:, 0], packets[:, 1] = 4, 0
        packets[:, 2], packets[:, 3] = size >> 8, size & 0xFF
        packets[:, 4], packets[:, 5] = self._spid >> 8 & 0xFF, self._spid & 0xFF
        packets[:, 6] = (np.arange(count) + self._packet_id) % 256
        packets[:, 7] = 0
        self._packet_id = (self._packet_id + count) % 256
        del self._held[: count * self._body]
        self._send(packets.data.cast("B"))

    def finish(self) -> None:
        """Send what is left, with the end-of-message mark."""
        self._send_whole_packets()
        size = len(self._held) + HEADER
        head = bytes([4, 1, size >> 8, size & 0xFF, self._spid >> 8 & 0xFF, self._spid & 0xFF, self._packet_id, 0])
        self._send(head + bytes(self._held))
        self._held.clear()
        self._packet_id = 1

    def discard(self) -> None:
        """Forget what was not yet sent: what a cancelled request does."""
        self._held.clear()

    def _send(self, data: Any) -> None:
        self._socket.sendall(data if self._tunnel is None else self._tunnel.wrap(bytes(data)))
