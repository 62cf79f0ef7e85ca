# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""Django: a middleware that tells which route answers; it stands first in MIDDLEWARE."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings  # type: ignore[import-untyped]
from django.urls import get_resolver  # type: ignore[import-untyped]
from django.utils.deprecation import MiddlewareMixin  # type: ignore[import-untyped]

from .multiprocess import ContractError
from .request import matched
from .routes import STATUSES, Routes

NAME = f"{__name__}.RouteMiddleware"
METHODS = ("GET", "HEAD", "POST")
"""Created at 0 for every route: a URL pattern does not tell its methods."""


class RouteMiddleware(MiddlewareMixin):  # type: ignore[misc]
    def process_view(self, request: Any, _view: Any, _arguments: Any, _keywords: Any) -> None:
        matched(request.resolver_match.route)


def insist() -> None:
    """Without the middleware every request would count under one route."""
    if NAME not in settings.MIDDLEWARE:
        raise ContractError(f"MIDDLEWARE of {settings.SETTINGS_MODULE} lacks {NAME}; write it as the first line")


def routes() -> Routes:
    return {route: dict.fromkeys(METHODS, STATUSES) for route in _patterns(get_resolver().url_patterns, "")}


def _patterns(patterns: Any, prefix: str) -> Iterator[str]:
    for each in patterns:
        route = prefix + str(each.pattern)
        if hasattr(each, "url_patterns"):
            yield from _patterns(each.url_patterns, route)
        else:
            yield route
