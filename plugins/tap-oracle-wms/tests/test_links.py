"""next_page is followed on the configured host and path only."""

from __future__ import annotations

import pytest
from sync_rules.exits import ConfigurationError
from tap_oracle_wms.errors import BadAnswer
from tap_oracle_wms.links import next_query

ASKED = "https://wms.example/acme/wms/lgfapi/v10/entity/allocation/"


@pytest.mark.parametrize("nothing", [None, ""])
def test_no_link(nothing: object) -> None:
    assert next_query(nothing, ASKED) is None


@pytest.mark.parametrize(
    "link",
    [
        f"{ASKED}?cursor=a%3D%3D&page_size=5",
        f"{ASKED.rstrip('/')}?cursor=a%3D%3D&page_size=5",
        "http://wms.example/acme/wms/lgfapi/v10/entity/allocation?cursor=a%3D%3D&page_size=5",
        "https://wms.example:443/acme/wms/lgfapi/v10/entity/allocation/?cursor=a%3D%3D&page_size=5",
        "/acme/wms/lgfapi/v10/entity/allocation/?cursor=a%3D%3D&page_size=5",
        "?cursor=a%3D%3D&page_size=5",
    ],
)
def test_only_the_query_is_taken_over(link: str) -> None:
    assert next_query(link, ASKED) == "cursor=a%3D%3D&page_size=5"


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/acme/wms/lgfapi/v10/entity/allocation/?cursor=x",
        "https://wms.example.evil.example/acme/wms/lgfapi/v10/entity/allocation/?cursor=x",
        "https://wms.example@evil.example/acme/wms/lgfapi/v10/entity/allocation/?cursor=x",
        "https://wms.example:8443/acme/wms/lgfapi/v10/entity/allocation/?cursor=x",
        "//evil.example/acme/wms/lgfapi/v10/entity/allocation/?cursor=x",
        "https://wms.example/other/wms/lgfapi/v10/entity/allocation/?cursor=x",
        "https://wms.example/acme/wms/lgfapi/v10/entity/order_hdr/?cursor=x",
    ],
)
def test_another_host_or_path_gets_nothing(link: str) -> None:
    with pytest.raises(ConfigurationError):
        next_query(link, ASKED)


def test_the_port_is_told_and_no_credentials() -> None:
    with pytest.raises(ConfigurationError, match=r"leads to wms\.example:8443, not to wms\.example:"):
        next_query("https://user:word@wms.example:8443/acme/wms/lgfapi/v10/entity/allocation/?cursor=x", ASKED)


@pytest.mark.parametrize("link", [7, {"a": 1}, "https://wms.example:x/"])
def test_what_is_no_address_is_an_error(link: object) -> None:
    with pytest.raises(BadAnswer):
        next_query(link, ASKED)
