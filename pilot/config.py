"""Configuration from `PILOT_*` variables and one TOML file, checked before anything starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from pilot.errors import ConfigError

LANGUAGES = ("en", "it", "pl")
Language = Literal["en", "it", "pl"]

_WEAK_SECRETS = {"changeme", "secret", "password", "development", "dev"}


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
    mail_transport: str = Field(default="maildir", description="Key of the mail transport part")
    mail_settings: dict[str, Any] = Field(default_factory=dict, description="Settings of that part")
    mail_from: str = Field(default="pilot@example.com", description="From address of mails to customers")
    mail_reply_to: str = Field(default="", description="Mailbox somebody reads; empty means mail_from")

    @field_validator("secret_key")
    @classmethod
    def _strong(cls, value: str) -> str:
        if len(value) < 32 or value.lower().strip("!1234567890") in _WEAK_SECRETS or len(set(value)) < 8:
            raise ValueError("too weak: use at least 32 random characters, for instance from `openssl rand -base64 33`")
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
