"""Configuration from `PILOT_*` variables and one TOML file, checked before anything starts."""

from __future__ import annotations

import os
import tomllib
from datetime import date
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from email_validator import EmailNotValidError, validate_email
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from pilot import clock
from pilot.errors import ConfigError

LANGUAGES = ("en", "it", "pl")
Language = Literal["en", "it", "pl"]

_WEAK_SECRETS = {"changeme", "secret", "password", "development", "dev"}


class Source(BaseModel):
    """A database of the company that imports read: its SQLAlchemy address and a query for each kind of rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    customers: str = ""
    orders: str = ""
    touches: str = ""


class Config(BaseSettings):
    """All settings of an installation. Variables win over the file named by `PILOT_CONFIG`."""

    model_config = SettingsConfigDict(env_prefix="PILOT_", frozen=True, extra="forbid")

    secret_key: str = Field(description="At least 32 characters; signs sessions and personal links")
    data_dir: Path = Field(default=Path("var/pilot"), description="Order store, frames, queue, mails, reports")
    database_url: str = Field(default="", description="SQLAlchemy address; empty means SQLite in data_dir")
    base_url: str = Field(
        default="http://127.0.0.1:8000", description="Public address of this site, for links in mails"
    )
    company: str = Field(default="Our company", description="The company's name, as customers know it")
    language: Language = Field(default="en", description="Language of people who have none set")
    currency: str = Field(default="EUR", min_length=3, max_length=3, description="ISO 4217 code of all money")
    timezone: str = Field(default="Europe/Rome", description="IANA name; the calendar of plans")
    gross_margin: float = Field(default=1.0, gt=0, le=1, description="Share of revenue left after cost of goods")
    productive_minutes: float = Field(
        default=1500, gt=0, description="Minutes a week in which one of the staff is with customers"
    )
    daily_profiles: bool = Field(default=True, description="Profile the base and move customers once a day")
    order_engine: str = Field(default="duckdb", description="Key of the part that keeps orders and touches")
    sources: dict[str, Source] = Field(default_factory=dict, description="Databases that imports may read, by name")
    mail_transport: str = Field(default="maildir", description="Key of the mail transport part")
    mail_settings: dict[str, Any] = Field(default_factory=dict, description="Settings of that part")
    mail_from: str = Field(default="pilot@example.com", description="From address of mails to customers")
    trusted_proxies: int = Field(default=0, ge=0, description="Proxies before this site that tell the true client")
    mail_reply_to: str = Field(default="", description="Mailbox somebody reads; empty means mail_from")

    @field_validator("secret_key")
    @classmethod
    def _strong(cls, value: str) -> str:
        if len(value) < 32 or value.lower().strip("!1234567890") in _WEAK_SECRETS or len(set(value)) < 8:
            raise ValueError("too weak: use at least 32 random characters, for instance from `openssl rand -base64 33`")
        return value

    @field_validator("company")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.strip() or not value.isprintable():
            raise ValueError("must be one line of text")
        return value.strip()

    @field_validator("currency")
    @classmethod
    def _currency(cls, value: str) -> str:
        if not (value.isascii() and value.isalpha()):
            raise ValueError("must be three letters, such as EUR or PLN")
        return value.upper()

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"there is no time zone {value!r}; use an IANA name like Europe/Rome") from error
        return value

    @field_validator("database_url")
    @classmethod
    def _usable_database(cls, value: str) -> str:
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            if value:
                make_url(value).get_dialect().import_dbapi()
        except (ArgumentError, ImportError) as error:
            raise ValueError(
                f"no database can be reached by this address ({error}); write postgresql+psycopg://user@host/name, or "
                "nothing for SQLite in PILOT_DATA_DIR"
            ) from error
        return value

    @field_validator("mail_from", "mail_reply_to")
    @classmethod
    def _plain_address(cls, value: str) -> str:
        """Checked here, because a wrong one would fail every message of a wave."""
        try:
            if value:
                validate_email(value, check_deliverability=False, allow_smtputf8=False, test_environment=True)
        except EmailNotValidError as error:
            raise ValueError(
                f"{value!r} is not a plain address such as service@company.com (the name before it is the company's)"
            ) from error
        return value

    @field_validator("base_url")
    @classmethod
    def _http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/")

    @property
    def sqlalchemy_url(self) -> str:
        """Address of the database, the embedded SQLite file when none is set."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'pilot.sqlite').resolve()}"

    def require_data(self) -> None:
        """Let pass if there is an installation with these settings.

        Raises:
            ConfigError: Its folder or SQLite file is not there: a name is mistyped, or nothing was set up yet.
        """
        from sqlalchemy.engine import make_url

        url = make_url(self.sqlalchemy_url)
        wanted = [self.data_dir.resolve()]
        if url.get_backend_name() == "sqlite" and Path(url.database or "").is_absolute():
            wanted.append(Path(url.database or ""))
        for path in wanted:
            if not path.exists():
                raise ConfigError(
                    f"there is no {path}",
                    place="PILOT_DATA_DIR" if path.is_relative_to(wanted[0]) else "PILOT_DATABASE_URL",
                    remedy="Correct the variable, or set up a new installation there with `pilot upgrade`",
                )

    @classmethod
    def settings_customise_sources(  # noqa: D102
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        if path := os.environ.get("PILOT_CONFIG"):
            sources += (TomlConfigSettingsSource(settings_cls, toml_file=Path(path)),)
        return sources


def load(**overrides: Any) -> Config:
    """Read the configuration.

    Raises:
        ConfigError: Something is missing or unsafe; every fault is named with its variable.
    """
    path = os.environ.get("PILOT_CONFIG")
    if path and not Path(path).is_file():
        raise ConfigError(
            "the file does not exist", place=f"PILOT_CONFIG={path}", remedy="Correct the path or unset the variable"
        )
    try:
        return Config(**overrides)
    except SettingsError as error:
        raise ConfigError(
            f"a variable cannot be read: {error}", place="configuration", remedy="Write tables as JSON, for instance {}"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"this is not TOML: {error}", place=f"PILOT_CONFIG={path}") from error
    except ValidationError as error:
        faults = [_fault(fault["loc"], fault["msg"]) for fault in error.errors()]
        raise ConfigError(
            "; ".join(faults),
            place="configuration",
            remedy="Set the variables named here, or the same names without PILOT_ in the file of PILOT_CONFIG",
        ) from error


def _fault(location: tuple[int | str, ...], message: str) -> str:
    name = "PILOT_" + "__".join(str(step) for step in location).upper()
    return f"{name} is missing" if message == "Field required" else f"{name}: {message.removeprefix('Value error, ')}"


def current() -> Config:
    """The configuration of the current application."""
    from flask import current_app

    found: Config = current_app.extensions["pilot.config"]
    return found


def today() -> date:
    """The day it is where the company is."""
    return clock.today(current().timezone)
