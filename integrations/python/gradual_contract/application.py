# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""The contract of one application: what each request needs before and after the application answers it."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import endpoints, multiprocess, settings
from .asgi import Asgi
from .flags import Flags
from .metrics import BUCKETS, OPINIONS, Metrics
from .multiprocess import ContractError
from .request import Call, Details, Request, current
from .routes import CONTRACT, PROBE, UNMATCHED, Routes, label, plays, series
from .wsgi import Application, Wsgi

log = logging.getLogger("gradual_contract")
OFF = Details(False, "off")
made: weakref.WeakSet[Gradual] = weakref.WeakSet()
"""Those of this process, for the server's hooks."""


class Gradual:
    """Give an application what docs/application-contract.md asks for.

    app: a Flask, FastAPI or Starlette application. Wrap any other: `gradual.wsgi(app)` or `gradual.asgi(app)`.
    features: {flag: its routes}, like {"search": ["/api/search", "POST /api/orders"]}.
    ready: the readiness check. It returns None when this process may take traffic, a text when not, or a mapping of
      facts that has a "reason" when not. In ASGI it may be a coroutine function.
    user: the targeting key of a request. Without it, or where it returns None: the cookie, made where it is missing.
    counters: {name without _total: help} of counters by feature and variant, for `count`.
    routes: {route: {method: statuses}} to create at 0. Those that the framework knows come by themselves.
    flags_file: by default FLAGS_FILE of the environment, or /etc/gradual/<application>/flags.json.
    root: the directory of .release.json, by default the working directory.
    """

    def __init__(
        self,
        app: Any = None,
        *,
        features: Mapping[str, Sequence[str]] | None = None,
        ready: Callable[[], Any] | None = None,
        user: Callable[[Request], str | None] | None = None,
        cookie: str = "visitor",
        counters: Mapping[str, str] | None = None,
        routes: Routes | None = None,
        buckets: Sequence[float] = BUCKETS,
        flags_file: str | None = None,
        root: Path | None = None,
    ) -> None:
        self.features = tuple(sorted(features or {}))
        self.ready = ready
        self.release = settings.release(root or Path.cwd())
        self._plays = plays(features or {})
        self._user, self._cookie = user, cookie
        self._counters, self._buckets = dict(counters or {}), tuple(buckets)
        self._declared: Routes = routes or {}
        self._known: Callable[[], Routes] | None = None
        self._flags_file = flags_file or settings.flags_file(str(self.release["application"]))
        self._lock, self._pid = threading.Lock(), 0
        self._metrics: Metrics
        self._flags: Flags
        self._complaints: set[str] = set()
        made.add(self)
        if app is not None:
            self._install(app)

    def is_on(self, feature: str) -> bool:
        """Whether the user of the current request has the feature. Whatever is wrong, the answer is no."""
        return self.details(feature).on

    def details(self, feature: str) -> Details:
        """What the user of the current request has; evaluated once a request."""
        call = current.get()
        if call is None or feature not in self.features:
            where = "is asked for outside of a request" if call is None else f"is none of {list(self.features)}"
            self._complain(f"feature {feature!r} {where}: it is off")
            return OFF
        if feature not in call.found:
            call.found[feature] = self._flags.details(feature, self._key(call))
        return call.found[feature]

    def user(self) -> str:
        """The targeting key of the current request's user; "" outside of a request."""
        call = current.get()
        return self._key(call) if call else ""

    def is_probe(self) -> bool:
        """Whether the current request is one of Gradual's own, which is no use of the application."""
        call = current.get()
        return call is not None and call.probe

    def count(self, counter: str) -> None:
        """Count one for each feature, by what the user has of it. counter: a name of `counters`."""
        own = self._metrics.own[counter]
        for feature in () if self.is_probe() else self.features:
            own.labels(feature, self.details(feature).variant).inc()

    def feedback(self, feature: str, opinion: str) -> None:
        """Count what the user says of a feature: good or bad."""
        if opinion not in OPINIONS or feature not in self.features:
            raise ValueError(f"feedback on {feature!r} is {opinion!r}; expected good or bad on {list(self.features)}")
        if not self.is_probe():
            self._metrics.feedback.labels(feature, self.details(feature).variant, opinion).inc()

    def wsgi(self, app: Application) -> Wsgi:
        """The WSGI application with the contract around it."""
        self._know_django(app)
        return Wsgi(self, app)

    def asgi(self, app: Any) -> Asgi:
        """The ASGI application with the contract around it."""
        self._know_django(app)
        return Asgi(app, self)

    def start(self) -> None:
        """Make what belongs to one process, once in each: series, provider, and the thread that watches the flags.

        The first request does it too, and the servers' hooks do it before."""
        with self._lock:
            if self._pid == os.getpid():
                return
            multiprocess.warn()
            known = self._known() if self._known else {}
            table = series(known, self._declared)
            metrics = Metrics(self.features, self._counters, self._buckets)
            metrics.create(table)
            flags = Flags(self.features, self._flags_file, metrics)
            if self.features:
                flags.start()
            self._metrics, self._flags, self._pid = metrics, flags, os.getpid()
        for _method, route in sorted(self._plays) if known else ():
            if route not in table:
                self._complain(f"features names the route {route}, which the application does not have")

    def stop(self) -> None:
        """End the threads of this process; flags keep their last values."""
        if self._pid == os.getpid():
            self._flags.stop()

    def begin(self, request: Request) -> Call:
        """For the middlewares: a request has come."""
        if self._pid != os.getpid():
            self.start()
        return Call(request)

    def own_answer(self, call: Call) -> endpoints.Answer | None:
        """The answer where the request is for one of the contract's addresses."""
        path = call.request.path
        if path not in CONTRACT or call.request.method not in ("GET", "HEAD"):
            return None
        call.route = path
        if path == "/healthz":
            return endpoints.healthz()
        if path == "/readyz":
            return endpoints.checked(self.ready)
        if path == "/version":
            return endpoints.version(self.release)
        if path == "/metrics":
            return endpoints.prometheus()
        self._key(call)
        return endpoints.features({feature: self.is_on(feature) for feature in self.features})

    def finish(self, call: Call, status: int) -> str | None:
        """Count a request whose answer begins; the value of the Set-Cookie that it needs, or None."""
        if call.finished:
            return None
        call.finished = True
        try:
            self._count(call, status, time.perf_counter() - call.started)
            return call.set_cookie(self._cookie)
        except Exception:
            log.exception("could not count a request")
            return None

    def _count(self, call: Call, status: int, seconds: float) -> None:
        method, route = call.request.method, label(call.route) if call.route else UNMATCHED
        self._metrics.count(method, PROBE if call.probe else route, status, seconds)
        for feature in () if call.probe else self._plays.get((method, route), ()):
            # Who was refused before the flag was looked at belongs to neither arm.
            if feature in call.found or not 400 <= status < 500:
                self._metrics.count_feature(feature, self.details(feature).variant, status, seconds)

    def _key(self, call: Call) -> str:
        try:
            return call.key(self._cookie, self._user)
        except Exception:
            log.exception("user= failed: the cookie %s is the targeting key", self._cookie)
            return call.key(self._cookie, None)

    def _complain(self, sentence: str) -> None:
        """Log it once."""
        if sentence not in self._complaints:
            self._complaints.add(sentence)
            log.error("%s", sentence)

    def _install(self, app: Any) -> None:
        if _is(app, "flask", "Flask"):
            from . import flask

            flask.tell_route(app)
            self._known = lambda: flask.routes(app)
            app.wsgi_app = self.wsgi(app.wsgi_app)
        elif _is(app, "starlette.applications", "Starlette"):
            from . import starlette

            self._known = lambda: starlette.routes(app)
            app.add_middleware(Asgi, gradual=self, route_of=starlette.route_of)
        else:
            raise ContractError(
                f"Gradual(app): {type(app).__name__} is not a Flask, FastAPI or Starlette application; write"
                " application = Gradual(features=…).wsgi(application), or .asgi(application)"
            )

    def _know_django(self, app: Any) -> None:
        if _is(app, "django.core.handlers.base", "BaseHandler"):
            from . import django

            django.insist()
            self._known = django.routes


def _is(app: Any, module: str, name: str) -> bool:
    """Whether app is of this class; no framework is imported for the question."""
    there = sys.modules.get(module)
    return there is not None and isinstance(app, getattr(there, name))
