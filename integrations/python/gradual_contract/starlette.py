# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""Starlette and FastAPI: which route answers, and which there are."""

from __future__ import annotations

import re
import sys
from typing import Any

from .asgi import Scope
from .routes import STATUSES, Routes

PARAMETER = re.compile(r"\{(\w+)(?::(\w+))?\}")


def route_of(scope: Scope, path: str) -> str | None:
    """The template of the route that answers, with that of its mounts and routers; None where no route does.

    The innermost route knows its own template only. What stands before it in the path is a prefix; values of the
    path's parameters in it are named again."""
    own = getattr(scope.get("route"), "path", None)
    if own is None:
        return None
    parameters = scope.get("path_params", {})
    tail = re.search(PARAMETER.sub(lambda found: ".+" if found[2] == "path" else "[^/]+", _escaped(own)) + "$", path)
    if tail is None:
        return str(own)
    inner = {name for name, _converter in PARAMETER.findall(own)}
    outer = {str(value): name for name, value in parameters.items() if name not in inner}
    prefix = "/".join(f"{{{outer[part]}}}" if part in outer else part for part in path[: tail.start()].split("/"))
    return f"{prefix}{own}"


def _escaped(template: str) -> str:
    """The template as a regular expression, its parameters still in braces."""
    return re.sub(r"[^\w/{}:]", lambda found: re.escape(found.group()), template)


def routes(app: Any) -> Routes:
    """Those of the application and of what it includes and mounts, as far as their templates can be known."""
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    _gather(app.routes, "", found)
    return found


def _flat(routes: Any) -> Any:
    """With the routers that FastAPI includes, which its newer versions keep apart."""
    flatten = getattr(sys.modules.get("fastapi.routing"), "iter_route_contexts", None)
    return flatten(routes) if flatten else routes


def _gather(routes: Any, prefix: str, found: dict[str, dict[str, tuple[int, ...]]]) -> None:
    for route in _flat(routes):
        path = getattr(route, "path", None)
        if path is None:
            continue
        inner = getattr(route, "routes", None)
        if inner:
            _gather(inner, prefix + path, found)
        else:
            methods = getattr(route, "methods", None) or ("GET",)
            found.setdefault(prefix + path, {}).update(dict.fromkeys(methods, STATUSES))
