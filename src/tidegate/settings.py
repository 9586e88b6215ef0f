"""Every setting, in one place.

A setting is an environment variable with the prefix TIDEGATE_, or a line of `.env` in the current folder;
the environment wins. `DATABASE_URL` is never read: the queue's client library lets that name redirect its
own connections, so a value meant for another program would split tidegate over two databases.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSetting

from tidegate.errors import SettingsError

PREFIX = "TIDEGATE_"


class Settings(BaseSettings):
    """What an operator can choose. Every field has a default that works on a laptop."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,  # a line copied from .env.example and left blank means "not set"
        extra="ignore",  # `tidegate env` exports names with our prefix for other programs
        frozen=True,
        hide_input_in_errors=True,  # a URL carries a password
    )

    database_url: str | None = Field(
        None, repr=False, description="PostgreSQL 15+ with pgvector, as URI or key=value; unset = embedded."
    )
    home: Path = Field(
        Path(".tidegate"),
        validate_default=True,
        description="The folder of the embedded server and of local files.",
    )
    postgres_profile: Literal["production", "test"] = Field(
        "production", description="Settings of the embedded server; 'test' gives up durability for speed."
    )
    postgres_settings: dict[str, str] = Field(
        default_factory=dict,
        description='More settings of the embedded server, as JSON: {"shared_buffers": "1GB"}.',
    )
    broker_url: str | None = Field(
        None, repr=False, description="The queue of the workers; unset = PGMQ in the same database."
    )
    result_backend: str | None = Field(
        None, repr=False, description="Where task results go; unset = the same database."
    )
    feast_stores: Literal["tidegate", "stock"] = Field(
        "tidegate", description="Whose stores Feast uses; 'stock' are its own, which each window is copied to."
    )
    visibility_seconds: int = Field(
        300, ge=1, description="Seconds after which a task whose worker died is given to another (PostgreSQL, Redis)."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where training runs; auto = a GPU if any.")
    text_model: Path | None = Field(None, description="Folder or name of a text encoder; unset = packaged MiniLM.")
    ranking_head: bool = Field(
        False, description="Whether a run trains a ranking head too: probabilities of what users do with items."
    )
    http_host: str = Field("127.0.0.1", description="Address that the HTTP app listens on.")
    http_port: int = Field(8765, ge=1, le=65535, description="Port that the HTTP app listens on.")
    trainer_max_windows: int = Field(50, ge=1, description="Windows after which a trainer process is replaced.")
    trainer_memory_limit_mb: int = Field(4096, ge=256, description="Memory in MB above which a trainer is replaced.")
    lease_seconds: int = Field(60, ge=5, description="Silence after which a window is given to another attempt.")
    run_limit_seconds: int = Field(
        14_400, ge=1, description="Seconds after which a run is ended as hung: far above any honest increment."
    )
    nudge_seconds: int = Field(60, ge=1, description="Quiet after which a window's lost task is sent again.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is logged.")
    log_format: Literal["text", "json"] = Field("text", description="One readable line per event, or one JSON object.")

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        """Return `home` as an absolute path, so that a later chdir (Feast does one) changes nothing."""
        return value.expanduser().resolve()

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value


def read_settings(**overrides: object) -> Settings:
    """Return the settings of this environment; `overrides` win over it.

    Raises SettingsError that names each wrong variable, never its value.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks them at run time
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    except UnreadableSetting as error:  # JSON that does not parse
        field = re.search(r'field "(\w+)"', str(error))
        raise SettingsError(f"{_variable((field[1],) if field else ())} is not JSON.") from None


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process, read once."""
    return read_settings()


def _explain(error: ValidationError) -> str:
    wrong = (f"{_variable(item['loc'])}: {item['msg'].lower()}" for item in error.errors(include_input=False))
    return f"Wrong setting. {'; '.join(wrong)}."


def _variable(location: tuple[int | str, ...]) -> str:
    return f"{PREFIX}{location[0]}".upper() if location else "settings"
