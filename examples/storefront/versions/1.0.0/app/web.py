"""What surrounds every request: what the route needs, headers, errors. The contract of Gradual is around the whole application."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from flask import Flask, Response, current_app, g, jsonify, request
from gradual_contract import Gradual
from werkzeug.exceptions import HTTPException

from . import metrics
from .accounts import SESSION_SECONDS, Account, Sessions
from .database import UNAVAILABLE, Database

log = logging.getLogger("storefront")
NO_STORE = "no-store"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


@dataclass(frozen=True)
class Parts:
    """The working parts of one process."""

    database: Database
    gradual: Gradual
    sessions: Sessions


@dataclass(frozen=True)
class Route:
    """One line of the API: rule and method, the view, what it may answer besides 500 and 503, and what it needs."""

    rule: str
    method: str
    view: Callable[..., Any]
    statuses: tuple[int, ...] = (200,)
    account: bool = False
    body: bool = False
    cache: str = NO_STORE

    @property
    def methods(self) -> tuple[str, ...]:
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)

    @property
    def all_statuses(self) -> tuple[int, ...]:
        more = (400, 413) if self.body else ()
        return (*self.statuses, *more, *((401,) if self.account else ()), 500, 503)


class Refused(Exception):
    """An answer that is not a success: status and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


def refuse(status: int, sentence: str) -> NoReturn:
    raise Refused(status, sentence)


def parts() -> Parts:
    return cast(Parts, current_app.extensions["storefront"])


def account() -> Account:
    return cast(Account, g.account)


def body() -> dict[str, Any]:
    told = request.get_json(silent=True)
    if not isinstance(told, dict):
        refuse(400, "the body must be a JSON object, sent with Content-Type: application/json")
    return told


def text_field(told: dict[str, Any], name: str, most: int, least: int = 1) -> str:
    value = told.get(name)
    if not isinstance(value, str) or not least <= len(value) <= most or "\x00" in value:
        refuse(422, f"{name} must be a text of {least} to {most} characters")
    return value


def number_field(told: dict[str, Any], name: str, most: int, default: int | None = None) -> int:
    value = told.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        refuse(422, f"{name} must be a whole number from 1 to {most}")
    return value


def on(feature: str) -> bool:
    """Whether the user of this request has the feature."""
    return parts().gradual.is_on(feature)


def session_cookie(response: Response, value: str) -> None:
    seconds = SESSION_SECONDS if value else 0
    response.set_cookie("session", value, max_age=seconds, httponly=True, samesite="Lax", secure=request.scheme == "https", path="/")


def statuses(routes: Iterable[Route]) -> dict[str, dict[str, tuple[int, ...]]]:
    """{rule: {method: statuses}}: all that the API may answer."""
    told: dict[str, dict[str, tuple[int, ...]]] = {}
    for route in routes:
        told.setdefault(route.rule, {}).update(dict.fromkeys(route.methods, route.all_statuses))
    return told


def register(app: Flask, routes: Iterable[Route]) -> None:
    """Put the routes into the application."""
    by_endpoint = {f"{route.method} {route.rule}": route for route in routes}
    for endpoint, route in by_endpoint.items():
        app.add_url_rule(
            route.rule, endpoint, _guarded(route), methods=[route.method], provide_automatic_options=False, strict_slashes=False
        )

    def begin() -> None:
        g.account = None
        g.route = by_endpoint.get(request.endpoint or "")

    def end(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        good = response.status_code < 400
        response.headers.setdefault("Cache-Control", g.route.cache if g.route and good else NO_STORE)
        return response

    app.before_request(begin)
    app.after_request(end)
    app.register_error_handler(Exception, failed)


def _guarded(route: Route) -> Callable[..., Any]:
    """The view behind the account that its route needs."""

    @functools.wraps(route.view)
    def view(**arguments: Any) -> Any:
        if route.account:
            g.account = parts().sessions.read(request.cookies.get("session"))
            if g.account is None:
                refuse(401, "sign in first: POST /api/session")
        return route.view(**arguments)

    return view


def failed(error: Exception) -> Response:
    """Every error as JSON. A stack trace goes to the log, never to the user."""
    if isinstance(error, Refused):
        return answer({"error": error.sentence}, error.status)
    if isinstance(error, HTTPException):
        status = error.code or 500
        return answer({"error": {404: "there is nothing here", 405: "this method is not for this address"}.get(status, error.name)}, status)
    if isinstance(error, UNAVAILABLE):
        metrics.errors.labels("database").inc()
        log.error("database: %s on %s: %s", type(error).__name__, g.get("route") and g.route.rule, str(error).splitlines()[0] if str(error) else "")
        response = answer({"error": "the database does not answer; try again"}, 503)
        response.headers["Retry-After"] = "1"
        return response
    metrics.errors.labels("code").inc()
    log.error("unhandled error on %s, request %s", g.route.rule if g.get("route") else "-", request.headers.get("X-Request-ID", "-"), exc_info=error)
    return answer({"error": "this went wrong on our side"}, 500)


def answer(value: dict[str, Any], status: int = 200) -> Response:
    response = jsonify(value)
    response.status_code = status
    return response
