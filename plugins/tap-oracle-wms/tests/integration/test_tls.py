"""Credentials go to a server whose certificate is trusted, and to no other."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from pysqlbridge.certificate import self_signed
from sync_rules.exits import ConfigurationError
from wms_reading import Make, full
from wms_sides import ACCOUNT

from sandbox.wms.entities import ENTITIES
from sandbox.wms.server import WmsServer
from sandbox.wms.store import Store


@pytest.fixture
def certificates(tmp_path: Path) -> tuple[Path, Path]:
    """The server's, and another."""
    for name in ("server", "other"):
        made = self_signed("wms.example")
        (tmp_path / f"{name}.pem").write_bytes(made.cert_pem)
        (tmp_path / f"{name}.key").write_bytes(made.key_pem)
    return tmp_path / "server.pem", tmp_path / "other.pem"


@pytest.fixture
def address(tmp_path: Path, certificates: tuple[Path, Path]) -> Iterator[str]:
    """The https address of a stand-in with one row."""
    store = Store(tmp_path / "secure")
    store.load(ENTITIES["allocation"], 1)
    store.close()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates[0], certificates[0].with_suffix(".key"))
    server = WmsServer(tmp_path / "secure", ACCOUNT)
    server._http.socket = context.wrap_socket(server._http.socket, server_side=True)
    with server:
        yield server.base_url.replace("http://", "https://")


def test_only_the_certificate_that_is_named_is_trusted(
    address: str, certificates: tuple[Path, Path], source: Make
) -> None:
    own, other = map(str, certificates)
    assert len(full(source(base_url=address, ca_file=own))) == 1
    for more in ({}, {"ca_file": other}):
        with pytest.raises(ConfigurationError, match="its certificate is not trusted; see ca_file"):
            source(base_url=address, **more)
    for wrong in (f"{own}.none", str(Path(own).with_suffix(".key"))):
        with pytest.raises(ConfigurationError, match="setting ca_file cannot be read"):
            source(base_url=address, ca_file=wrong)
