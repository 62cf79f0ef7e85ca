# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""Flask: which route answers, and which there are."""

from __future__ import annotations

from typing import Any

import flask

from .request import matched
from .routes import STATUSES, Routes


def tell_route(app: flask.Flask) -> None:
    """Tell of each request, before anything of the application runs, which rule answers."""

    def told(_endpoint: str | None, _arguments: dict[str, Any] | None) -> None:
        rule = flask.request.url_rule
        matched(rule.rule if rule else None)

    app.url_value_preprocessor(told)


def routes(app: flask.Flask) -> Routes:
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for rule in app.url_map.iter_rules():
        found.setdefault(rule.rule, {}).update(dict.fromkeys(rule.methods or (), STATUSES))
    return found
