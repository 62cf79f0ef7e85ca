# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""The contract around an ASGI application (asgi.readthedocs.io)."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from . import endpoints, systemd
from .endpoints import Answer
from .request import Call, Request, current

if TYPE_CHECKING:
    from .application import Gradual

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
RouteOf = Callable[[Scope, str], "str | None"]
"""(scope, path) -> template of the route."""


def request_of(scope: Scope) -> Request:
    def header(name: str) -> str:
        wanted = name.lower().encode("latin-1")
        # A browser may send its cookies in several headers (RFC 9113, section 8.2.3).
        return "; ".join(value.decode("latin-1") for key, value in scope["headers"] if key == wanted)

    path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
    return Request(scope["method"], path, scope.get("scheme", "http"), header, scope)


class Asgi:
    """An ASGI application that answers the contract's addresses itself and counts the rest."""

    def __init__(self, app: Application, gradual: Gradual, route_of: RouteOf | None = None) -> None:
        self._application, self._gradual, self._route_of = app, gradual, route_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        gradual, call = self._gradual, self._gradual.begin(request_of(scope))

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start" and not call.finished:
                self._matched(call, scope)
                cookie = gradual.finish(call, message["status"])
                if cookie:
                    headers = [*message.get("headers", ()), (b"set-cookie", cookie.encode("latin-1"))]
                    message = {**message, "headers": headers}
            await send(message)

        token = current.set(call)
        try:
            own = await self._own(call)
            if own:
                await _send(own, call.request.method, counted)
            else:
                await self._application(scope, receive, counted)
        except BaseException:
            self._matched(call, scope)
            gradual.finish(call, 500)
            raise
        finally:
            current.reset(token)

    def _matched(self, call: Call, scope: Scope) -> None:
        if self._route_of and call.route is None:
            call.route = self._route_of(scope, call.request.path)

    async def _own(self, call: Call) -> Answer | None:
        """The contract's answers; those that wait for something do not hold up the event loop."""
        path = call.request.path
        if path == "/readyz" and inspect.iscoroutinefunction(self._gradual.ready):
            call.route = path
            try:
                return endpoints.readiness(await self._gradual.ready())
            except Exception as error:
                return endpoints.unchecked(error)
        if path in ("/readyz", "/metrics"):
            return await asyncio.to_thread(self._gradual.own_answer, call)
        return self._gradual.own_answer(call)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start and stop with the application; one that has no lifespan gets this one."""
        asked = False

        async def received() -> Message:
            nonlocal asked
            asked = True
            return await receive()

        async def told(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await asyncio.to_thread(self._gradual.start)
                systemd.notify_when_listening()
            elif message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                self._gradual.stop()
            await send(message)

        try:
            await self._application(scope, received, told)
        except Exception:
            if asked:
                raise
        if not asked:
            await receive()
            await told({"type": "lifespan.startup.complete"})
            await receive()
            await told({"type": "lifespan.shutdown.complete"})


async def _send(answer: Answer, method: str, send: Send) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else answer.body})
