# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""The contract around a WSGI application (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from .request import Call, Request, current

if TYPE_CHECKING:
    from .application import Gradual

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


def request_of(environ: Environ) -> Request:
    def header(name: str) -> str:
        return str(environ.get("HTTP_" + name.upper().replace("-", "_"), ""))

    path = environ.get("PATH_INFO") or "/"
    return Request(environ["REQUEST_METHOD"], path, environ.get("wsgi.url_scheme", "http"), header, environ)


class Wsgi:
    """A WSGI application that answers the contract's addresses itself and counts the rest."""

    def __init__(self, gradual: Gradual, application: Application) -> None:
        self._gradual, self._application = gradual, application

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        call = self._gradual.begin(request_of(environ))
        token = current.set(call)
        try:
            return self._answered(call, environ, start_response)
        finally:
            current.reset(token)

    def _answered(self, call: Call, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        gradual = self._gradual

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            cookie = gradual.finish(call, int(status[:3]))
            return start_response(status, [*headers, ("Set-Cookie", cookie)] if cookie else headers, *more)

        own = gradual.own_answer(call)
        if own:
            start(f"{own.status} {HTTPStatus(own.status).phrase}", list(own.headers))
            return [] if call.request.method == "HEAD" else [own.body]
        try:
            result = self._application(environ, start)
        except BaseException:
            gradual.finish(call, 500)
            raise
        # A generator has not run yet, so its request goes on while the server asks for the first part.
        return result if call.finished else _Running(gradual, call, result)


class _Running:
    """The parts of an answer whose application has not yet said a status."""

    def __init__(self, gradual: Gradual, call: Call, parts: Iterable[bytes]) -> None:
        self._gradual, self._call, self._parts = gradual, call, parts
        self._iterator = iter(parts)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        token = current.set(self._call)
        try:
            return next(self._iterator)
        except StopIteration:
            raise
        except BaseException:
            self._gradual.finish(self._call, 500)
            raise
        finally:
            current.reset(token)

    def close(self) -> None:
        if hasattr(self._parts, "close"):
            self._parts.close()
