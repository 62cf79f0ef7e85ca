# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""One request, as every framework shows it, and what is known of it while it is answered."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple

PROBE_HEADER = "X-Gradual-Probe"
KEY = re.compile(r"[A-Za-z0-9._:-]{1,64}")
KEY_SECONDS = 365 * 86400


class Details(NamedTuple):
    """What a user has of a feature: whether it is on, and the variant that the user's requests are counted by."""

    on: bool
    variant: str


@dataclass(frozen=True)
class Request:
    """What the library asks of a request. raw: WSGI's environ or ASGI's scope."""

    method: str
    path: str
    scheme: str
    header: Callable[[str], str]
    """The value of a header by its name, "" when it was not sent."""
    raw: Any

    def cookie(self, name: str) -> str:
        """The value of a cookie, "" when it was not sent."""
        for pair in self.header("Cookie").split(";"):
            told, _, value = pair.strip().partition("=")
            if told == name:
                return value.strip('"')
        return ""


@dataclass
class Call:
    """A request while it is answered."""

    request: Request
    started: float = field(default_factory=time.perf_counter)
    route: str | None = None
    """Template of the route that answers; None as long as none is known."""
    found: dict[str, Details] = field(default_factory=dict)
    """What the user has of the features that were asked for; each is evaluated once a request."""
    new_key: str | None = None
    finished: bool = False
    _key: str | None = None

    @property
    def probe(self) -> bool:
        """Whether Gradual itself asks, not a user."""
        return bool(self.request.header(PROBE_HEADER))

    def key(self, cookie: str, user: Callable[[Request], str | None] | None) -> str:
        """The targeting key: what `user` says, else the cookie, else a new one, which becomes the user's cookie."""
        if self._key is None:
            told = user(self.request) if user else None
            if not told:
                told = self.request.cookie(cookie)
                if not KEY.fullmatch(told):
                    told = self.new_key = secrets.token_hex(12)
            self._key = str(told)
        return self._key

    def set_cookie(self, cookie: str) -> str | None:
        """The value of Set-Cookie that this answer must have, or None."""
        if self.new_key is None:
            return None
        secure = "; Secure" if self.request.scheme == "https" else ""
        return f"{cookie}={self.new_key}; Max-Age={KEY_SECONDS}; Path=/; HttpOnly; SameSite=Lax{secure}"


current: ContextVar[Call | None] = ContextVar("gradual_contract.current", default=None)


def matched(route: str | None) -> None:
    """For the helpers of the frameworks: the route that answers the current request."""
    if (call := current.get()) is not None:
        call.route = route
