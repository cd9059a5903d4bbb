"""`next_page` is followed only where the credentials belong: on the configured host and the path that was asked."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from sync_rules.exits import ConfigurationError

from tap_oracle_wms.errors import BadAnswer, one_line

_USUAL_PORTS = (80, 443)


def next_query(link: object, asked: str) -> str | None:
    """The query of `next_page`, or None where there is none. `asked` is the address of the request, without query.

    Only the query is taken over, so even a link that passes could not lead elsewhere. Raises ConfigurationError for
    another host or path, BadAnswer for what is no link.
    """
    if link is None or link == "":
        return None
    if not isinstance(link, str):
        raise BadAnswer(f"{urlsplit(asked).path}: next_page is no address")
    try:
        there, here = urlsplit(link), urlsplit(asked)
        same = _place(there.hostname, there.port) == _place(here.hostname, here.port)
    except ValueError as error:
        raise BadAnswer(f"{urlsplit(asked).path}: next_page is no address") from error
    if there.netloc and not same:
        raise ConfigurationError(
            f"the API's next_page leads to {_told(there)}, not to {_told(here)}: nothing is sent there; set"
            " base_url to the address the API has for itself"
        )
    if there.path and there.path.rstrip("/") != here.path.rstrip("/"):
        raise ConfigurationError(f"the API's next_page leads to another path than {here.path}: it is not followed")
    return there.query


def _told(address: SplitResult) -> str:
    """Host and port, without what may stand before them."""
    return one_line(address.netloc.rpartition("@")[2])


def _place(host: str | None, port: int | None) -> tuple[str | None, int | None]:
    """Host and port. Behind a proxy that ends TLS an API may spell its links with http: that is the same place."""
    return host, None if port in _USUAL_PORTS else port
