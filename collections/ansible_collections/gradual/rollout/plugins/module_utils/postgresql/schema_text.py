# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The schema of a database as pg_dump writes it: its fingerprint, and the lines in which two of them differ."""

from __future__ import annotations

import difflib
import hashlib
import re

_NOISE = re.compile(r"^(\\(un)?restrict\b.*|-- Dumped (from|by) .*)$")
# OPTIONS (password 'x') and CONNECTION 'host=h password=x'.
_PASSWORD = re.compile(r"(password\s*=\s*|password\s+)('(?:[^']|'')*'|[^'\s]+)", re.IGNORECASE)


def plain(text: str) -> str:
    """pg_dump -s without restrict keys and program versions, which differ between two dumps of one schema."""
    return "".join(line + "\n" for line in text.splitlines() if not _NOISE.match(line))


def fingerprint(text: str) -> str:
    """SHA-256 of the plain schema."""
    return hashlib.sha256(plain(text).encode("utf-8", "surrogateescape")).hexdigest()


def differences(wanted: str, seen: str) -> list[str]:
    """The lines that differ, without the passwords of user mappings and subscriptions."""
    lines = difflib.unified_diff(
        plain(wanted).splitlines(), plain(seen).splitlines(), "live", "restored", lineterm="", n=0
    )
    return [_PASSWORD.sub(r"\1********", line) for line in list(lines)[2:] if not line.startswith("@@")]
