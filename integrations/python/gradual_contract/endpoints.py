# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""The contract's answers, as plain functions."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from . import metrics

log = logging.getLogger("gradual_contract")
HEADERS = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
)


class Answer(NamedTuple):
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def answer(status: int, content_type: str, body: bytes) -> Answer:
    return Answer(status, (("Content-Type", content_type), ("Content-Length", str(len(body))), *HEADERS), body)


def told(value: Mapping[str, Any], status: int = 200) -> Answer:
    return answer(status, "application/json", json.dumps(value, separators=(",", ":")).encode() + b"\n")


def healthz() -> Answer:
    return told({"status": "alive"})


def version(release: Mapping[str, Any]) -> Answer:
    return told(release)


def features(found: Mapping[str, bool]) -> Answer:
    return told({"features": found})


def prometheus() -> Answer:
    return answer(200, metrics.CONTENT_TYPE, metrics.text())


def checked(check: Callable[[], Any] | None) -> Answer:
    """What a plain check says; one that fails is not ready."""
    try:
        return readiness(check() if check else None)
    except Exception as error:
        return unchecked(error)


def unchecked(error: Exception) -> Answer:
    log.error("the readiness check failed", exc_info=error)
    return readiness(f"the check failed ({type(error).__name__})")


def readiness(said: Any) -> Answer:
    """200 or 503. said: None or True is ready; False is not; a text is the reason why not; a mapping is told as it
    stands, and is ready when it has no reason."""
    facts = dict(said) if isinstance(said, Mapping) else {"reason": said} if isinstance(said, str) else {}
    ready = said is not False and not facts.get("reason")
    return told({"ready": ready, **facts}, 200 if ready else 503)
