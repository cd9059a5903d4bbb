"""No secret and no row value in what is written down. # SPEC O3"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paralelo.redact import deeply, redactor, secrets

SETTINGS = {
    "TAP_MSSQL_PASSWORD": "S3nha/com espaço&=+",
    "TAP_ORACLE_WMS_PASSWORD": 'it\'s "S3nha"',
    "TARGET_POSTGRES_PASSWORD": "postgres",
    "NOTIFY_URLS": "tgram://123456:abc/789",
    "MELTANO_DATABASE_URI": "postgresql://m:meltanopw@h/db",
    "TARGET_POSTGRES_SSL_KEY": "/etc/key.pem",
    "TAP_MSSQL_HOST": "sqlserver",
    "SOME_TOKEN": "true",
}


def test_secret_settings_are_found_by_name() -> None:
    found = secrets(SETTINGS)
    assert "S3nha/com espaço&=+" in found
    assert "postgres" in found
    assert "sqlserver" not in found
    assert "true" not in found


def test_each_url_of_several_and_what_is_secret_in_it() -> None:
    urls = "tgram://123456789:AAbbCC1234/-100200300 mailto://me:pa%24s@host?to=x"
    found = secrets({"PARALELO_NOTIFY_URLS": urls, "PROXY": "http://u:proxy-pw@host:3128/"})
    assert {"tgram://123456789:AAbbCC1234/-100200300", "AAbbCC1234", "123456789", "pa$s", "proxy-pw"} <= set(found)
    assert not {"host", "me", "u", "http://u:proxy-pw@host:3128/"} & set(found)
    assert "AAbbCC1234" in secrets({"NOTIFY_URL": "json://host/path?token=AAbbCC1234"})


@pytest.mark.parametrize(
    "place", ["127.0.0.1:8080", "10.20.30.40", "hooks2026.example.com:8443", "[2001:db8::12]", "notices01.internal"]
)
def test_a_notices_host_is_no_secret_and_what_comes_after_it_is(place: str) -> None:
    redact = redactor(secrets({"PARALELO_NOTIFY_URLS": f"json://{place}/hook/AAbbCC1234"}))
    assert redact(f"{place} cannot be reached") == f"{place} cannot be reached"
    assert redact("of AAbbCC1234") == "of ***"


@pytest.mark.parametrize(
    "name",
    ["TAP_X_KEY_PASSPHRASE", "TAP_X_PASSWD", "TAP_MSSQL_DSN", "AWS_ACCESS_KEY_ID", "X_API_KEY", "X_APIKEY",
     "X_PRIVATE_KEY", "X_CREDENTIALS", "MELTANO_DATABASE_URI", "client_secret"],
)  # fmt: skip
def test_settings_of_such_names_are_secret(name: str) -> None:
    assert secrets({name: "a-planted-one"}) == ("a-planted-one",)
    assert redactor(["a-planted-one"])("of=xa-planted-oney") == "of=x***y"


def test_of_a_secret_that_begins_like_another_nothing_is_left() -> None:
    assert redactor(["a-planted-one", "a-planted-one-too-long"])("with a-planted-one-too-long") == "with ***"


def test_the_current_folder_is_no_secret() -> None:
    assert secrets({"PWD": "/srv/paralelo", "OLDPWD": "/srv/other", "DB_PWD": "it is one"}) == ("it is one",)


@pytest.mark.parametrize(
    "text",
    [
        "login failed with S3nha/com espaço&=+",
        "url postgresql://u:S3nha%2Fcom%20espa%C3%A7o%26%3D%2B@h/db",
        "form login?user=u&pass=S3nha%2Fcom+espa%C3%A7o%26%3D%2B",
        'json {"password": "S3nha/com espa\\u00e7o&=+"}',
        r"""no such login: 'it\'s "S3nha"'""",
        "Server=h;UID=u;PWD={S3nha/com espaço&=+};Encrypt=yes",
        "Server=h;PWD=anything-else-at-all;Encrypt=yes",
        "password='anything-else-at-all'",
        "{'password': 'anything-else-at-all'}",
        "https://user:anything-else-at-all@host/x",
    ],
)
def test_no_form_of_a_secret_survives(text: str) -> None:
    clean = redactor(secrets(SETTINGS))(text)
    assert "S3nha" not in clean
    assert "anything-else" not in clean
    assert "***" in clean


def test_a_short_secret_does_not_eat_the_words_that_hold_it() -> None:
    redact = redactor(secrets(SETTINGS))
    assert redact("target-postgres: done") == "target-postgres: done"
    assert redact("tried postgres as it stood") == "tried *** as it stood"


@pytest.mark.parametrize(
    "text",
    [
        "DETAIL:  Failing row contains (1, PLANTED, (x), 3).",
        "Key (id, nome)=(7, PLANTED) already exists.",
        'invalid input syntax for type integer: "PLANTED"',
        'invalid input syntax for type timestamp without time zone: "PLANTED"',
        'date/time field value out of range: "PLANTED"',
        'value "PLANTED" is out of range for type bigint',
        'CONTEXT:  COPY bi_credores, line 3, column nome: "PLANTED"',
        'COPY bi_credores, line 12: "1,PLANTED,3"',
        "CONTEXT:  unnamed portal with parameters: $1 = 'PLANTED'",
        "Cannot insert duplicate key row. The duplicate key value is (PLANTED).",
        "Conversion failed when converting the varchar value 'PLANTED' to data type int.",
        "String or binary data would be truncated in table 't', column 'nome'. Truncated value: 'it''s PLANTED'.",
    ],
)
def test_values_that_databases_quote_are_taken_out(text: str) -> None:
    clean = redactor()(text)
    assert "PLANTED" not in clean
    assert "(not shown)" in clean


@given(st.text(min_size=6, max_size=40, alphabet=st.characters(min_codepoint=33, max_codepoint=0x2FF)))
def test_any_secret_between_blanks_is_taken_out(secret: str) -> None:
    assert secret not in redactor([secret])(f"before {secret} after").replace("***", "")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=5))
def test_values_keep_their_shape(value: object) -> None:
    assert json.dumps(deeply(lambda text: text, value)) == json.dumps(value)


def test_fields_named_for_secrets_are_masked_whatever_they_hold() -> None:
    assert deeply(redactor(), {"a": [{"password": "x"}], "rows": 3}) == {"a": [{"password": "***"}], "rows": 3}


def test_the_address_of_an_api_is_no_secret_and_its_password_is() -> None:
    settings = {
        "TAP_ORACLE_WMS_BASE_URL": "https://reader:s3cret-word@wms77.example.com/tenant01",
        "TAP_ORACLE_WMS_TOKEN_URL": "https://login99.example.com/oauth2/v1/token",
        "TAP_ORACLE_WMS_CLIENT_SECRET": "an0ther-word",
    }
    told = redactor(secrets(settings))(
        "describe: wms77.example.com/tenant01, login99.example.com: s3cret-word an0ther-word"
    )
    assert told == "describe: wms77.example.com/tenant01, login99.example.com: *** ***"
