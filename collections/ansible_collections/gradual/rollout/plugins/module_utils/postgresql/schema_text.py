# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The schema of a database as pg_dump writes it: its fingerprint, and the lines in which two of them differ."""

from __future__ import annotations

import difflib
import hashlib
import re

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import masking

_NOISE = re.compile(r"^(\\(un)?restrict\b.*|-- Dumped (from|by) .*)$")
_REFRESH = re.compile(
    r"^--\n-- Name: [^\n]*; Type: MATERIALIZED VIEW DATA; [^\n]*\n--\n\nREFRESH MATERIALIZED VIEW .+?;\n\n\n",
    re.MULTILINE | re.DOTALL,
)


def plain(text: str) -> str:
    """pg_dump -s without restrict keys and program versions, which differ between two dumps of one schema."""
    return "".join(line + "\n" for line in _lines(text) if not _NOISE.match(line))


def without_refreshes(text: str) -> str:
    """The schema without the statements that compute its materialized views."""
    return _REFRESH.sub("", text)


def fingerprint(text: str) -> str:
    """SHA-256 of the plain schema."""
    return hashlib.sha256(plain(text).encode("utf-8", "surrogateescape")).hexdigest()


def differences(wanted: str, seen: str) -> list[str]:
    """The lines that differ, without passwords and other secrets. Not whether a materialized view is computed."""
    before, after = (plain(without_refreshes(text)) for text in (wanted, seen))
    shown = [_lines(masking.masked(text)) for text in (before, after)]
    matcher = difflib.SequenceMatcher(None, _lines(before), _lines(after))
    return [
        sign + line
        for kind, *places in matcher.get_opcodes()
        if kind != "equal"
        for sign, lines, (start, end) in zip("-+", shown, (places[:2], places[2:]))
        for line in lines[start:end]
    ]


def _lines(text: str) -> list[str]:
    """Not splitlines(): a literal may hold other ends of lines."""
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]
