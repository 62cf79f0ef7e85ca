"""Settings from the environment, checked once at the start."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class SettingsError(RuntimeError):
    """A setting is missing or cannot be used; the message says which and what to write."""


@dataclass(frozen=True)
class Settings:
    database_url: str
    session_key: str
    pool: int


def needed(name: str, example: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise SettingsError(f"{name} is not set. Write it into the service's environment, e.g. {name}={example}")
    return value


def number(name: str, default: int) -> int:
    value = os.environ.get(name, "") or str(default)
    if not value.isdecimal() or int(value) < 1:
        raise SettingsError(f"{name} is {value!r}, not a whole number from 1 on. Write e.g. {name}={default}")
    return int(value)


def read() -> Settings:
    key = needed("SESSION_KEY", "$(openssl rand -hex 32)")
    if len(key) < 32:
        raise SettingsError(f"SESSION_KEY has {len(key)} characters; it needs 32 or more: openssl rand -hex 32")
    return Settings(
        database_url=needed("DATABASE_URL", "postgresql://storefront_app:PASSWORD@HOST/storefront"),
        session_key=key,
        pool=number("POOL", 8),
    )
