# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""Names of routes: the same whatever the framework, bounded in number."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence

from .multiprocess import ContractError

PROBE, UNMATCHED = "gradual-probe", "unmatched"
CONTRACT = ("/healthz", "/readyz", "/version", "/metrics", "/api/features")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER")
STATUSES = (200, 400, 404, 500, 503)
"""Of a route whose statuses nobody named. Errors must be there at 0; another status may appear later."""

Routes = Mapping[str, Mapping[str, Iterable[int]]]
"""{route: {method: statuses}}."""


@functools.lru_cache(maxsize=4096)
def label(route: str) -> str:
    """The route without converters, and with a slash: api/orders/<int:id> -> /api/orders/<id>, {id:int} -> {id}."""
    plain = re.sub(r"\{(\w+):[^{}]*\}", r"{\1}", re.sub(r"<[^:<>]+:", "<", route))
    return "/" + plain.lstrip("/")


def method_label(method: str) -> str:
    return method if method in METHODS else "OTHER"


def plays(features: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], tuple[str, ...]]:
    """{(method, route): features}, from {feature: ["/api/search", "POST /api/orders"]}; without a method, every one."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for feature, routes in features.items():
        if isinstance(routes, str):
            raise ContractError(f"features: {feature} is {routes!r}; write a list of routes, like [{routes!r}]")
        for told in routes:
            method, _, route = told.rpartition(" ")
            if (method and method not in METHODS) or not route.startswith("/"):
                raise ContractError(f"features: {feature} names {told!r}; write /api/search, or POST /api/orders")
            names = ("GET", "HEAD") if method == "GET" else (method,) if method else METHODS
            for name in names:
                key = (name, label(route))
                found[key] = (*found.get(key, ()), feature)
    return found


def series(*tables: Routes) -> dict[str, dict[str, tuple[int, ...]]]:
    """Every route, method and status that gets a series at the start: the application's, the contract's, what no route
    answers, and Gradual's own requests. A later table overrides a method of an earlier one."""
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for table in tables:
        for route, methods in table.items():
            found.setdefault(label(route), {}).update({name: tuple(told) for name, told in methods.items()})
    for route in CONTRACT:
        found[route] = {"GET": (200, 500, 503), "HEAD": (200, 500, 503)}
    unmatched = (400, 404, 405, 500, 503)
    statuses = sorted({status for each in found.values() for told in each.values() for status in told}.union(unmatched))
    names = sorted({method_label(method) for each in found.values() for method in each})
    found[UNMATCHED] = dict.fromkeys(METHODS, unmatched)
    found[PROBE] = dict.fromkeys(names, tuple(statuses))
    return found
