"""Configuration: variables win over the file, and every fault is named before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pilot.app import create_app
from pilot.config import Config, load
from pilot.errors import ConfigError

SECRET = "kX3v9Tq27mWzR5bLpN8cYd4HsJf6GaEu"


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOT_SECRET_KEY", SECRET)
    monkeypatch.setenv("PILOT_COMPANY", "Zażółć S.p.A.")
    monkeypatch.setenv("PILOT_BASE_URL", "https://pilot.example.com/")
    monkeypatch.setenv("PILOT_MAIL_SETTINGS", '{"host": "mail.example.com", "port": 587}')
    found = load()
    assert found.company == "Zażółć S.p.A."
    assert found.base_url == "https://pilot.example.com"
    assert found.mail_settings == {"host": "mail.example.com", "port": 587}


def test_variables_win_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "pilot.toml"
    file.write_text(f'secret_key = "{SECRET}"\ncompany = "From the file"\ncurrency = "PLN"\n')
    monkeypatch.setenv("PILOT_CONFIG", str(file))
    monkeypatch.setenv("PILOT_COMPANY", "From the variable")
    found = load()
    assert (found.company, found.currency) == ("From the variable", "PLN")


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOT_CONFIG", "/nowhere/pilot.toml")
    with pytest.raises(ConfigError, match=r"/nowhere/pilot\.toml"):
        load()


def test_all_faults_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOT_BASE_URL", "pilot.example.com")
    monkeypatch.setenv("PILOT_LANGUAGE", "de")
    with pytest.raises(ConfigError) as caught:
        load()
    for name in ("PILOT_SECRET_KEY is missing", "PILOT_BASE_URL: must begin with http", "PILOT_LANGUAGE"):
        assert name in str(caught.value)


@pytest.mark.parametrize("secret", ["", "changeme", "a" * 40, "secret" + "1" * 30, "abcabcabcabcabcabcabcabcabcabcabc"])
def test_a_secret_that_can_be_guessed_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ConfigError, match="PILOT_SECRET_KEY: too weak") as caught:
        load(secret_key=secret)
    assert not secret or secret not in str(caught.value)


def test_a_misspelt_setting_in_the_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "pilot.toml"
    file.write_text(f'secret_key = "{SECRET}"\ncompnay = "Misspelt"\n')
    monkeypatch.setenv("PILOT_CONFIG", str(file))
    with pytest.raises(ConfigError, match="COMPNAY"):
        load()


def test_without_a_database_address_it_is_a_file_in_the_data_folder(tmp_path: Path) -> None:
    assert load(secret_key=SECRET, data_dir=tmp_path).sqlalchemy_url == f"sqlite:///{tmp_path.resolve()}/pilot.sqlite"
    address = "postgresql+psycopg://db/pilot"
    assert load(secret_key=SECRET, database_url=address).sqlalchemy_url == address


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("COMPANY", "Acme\r\nBcc: x@example.com", "must be one line of text"),
        ("CURRENCY", "E1R", "must be three letters"),
        ("TIMEZONE", "Europe/Roma", "there is no time zone 'Europe/Roma'"),
        ("MAIL_FROM", "Acme <service@example.com>", "is not a plain address"),
        ("MAIL_REPLY_TO", "service@", "is not a plain address"),
        ("MAIL_SETTINGS", "{host: x}", "a variable cannot be read"),
    ],
)
def test_a_value_that_would_fail_later_is_refused_now(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, reason: str
) -> None:
    monkeypatch.setenv("PILOT_SECRET_KEY", SECRET)
    monkeypatch.setenv(f"PILOT_{variable}", value)
    with pytest.raises(ConfigError, match=reason):
        load()


def test_a_file_that_is_no_toml_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pilot.toml").write_text("company = Acme")
    monkeypatch.setenv("PILOT_CONFIG", str(tmp_path / "pilot.toml"))
    with pytest.raises(ConfigError, match="this is not TOML"):
        load()


def test_a_value_with_one_meaning_is_brought_into_one_form() -> None:
    found = load(secret_key=SECRET, company=" Acme ", currency="pln", mail_from="service@acme.test")
    assert (found.company, found.currency, found.mail_from) == ("Acme", "PLN", "service@acme.test")


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path, config: Callable[..., Config]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="the data folder cannot be made: Not a directory") as caught:
        create_app(config(data_dir=tmp_path / "file" / "data"))
    assert caught.value.place == f"PILOT_DATA_DIR={tmp_path}/file/data"
