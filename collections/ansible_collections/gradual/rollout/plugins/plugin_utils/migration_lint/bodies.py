# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the text of a function's body shows."""

from __future__ import annotations

import re

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.catalog import Function
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import ParseError, pglast
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import name, relations_of

_RAISES = re.compile(r"\bRAISE\s+(?!DEBUG|LOG|INFO|NOTICE|WARNING)|\bASSERT\b", re.IGNORECASE)
_FIELD = re.compile(r"\b(?:NEW|OLD)\.([a-z_][a-z0-9_]*)", re.IGNORECASE)
_QUOTED = re.compile(r"--[^\n]*|/\*.*?\*/|'[^']*'", re.DOTALL)


def _code(function: Function) -> str:
    """PL/pgSQL without comments and texts."""
    return _QUOTED.sub(" ", function.body) if function.language == "plpgsql" else ""


def refuses(function: Function) -> bool:
    """Whether it raises an exception, at least for some rows."""
    return bool(_RAISES.search(_code(function)))


def fields(function: Function) -> list[str]:
    """Columns that a trigger's function names of NEW and OLD."""
    return [one.lower() for one in _FIELD.findall(_code(function))]


def relations(function: Function) -> frozenset[str]:
    """Relations that a body in SQL names; none of a body in another language."""
    try:
        queries = [one.stmt for one in pglast.parse_sql(function.body)] if function.language == "sql" else []
    except ParseError:
        return frozenset()
    return frozenset(name(one) for query in queries for one in relations_of(query))
