# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Show SQL and messages of PostgreSQL's programs without the passwords, keys and rows in them."""

from __future__ import annotations

import re

_MASK = "********"
# A literal of SQL, with backslashes as escapes or without.
_LITERAL = r"(?:[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*')"
# In a connection string inside a literal, then a literal, JSON's, one in dollars, and a bare word.
_VALUE = (
    rf"(?:''(?:\\''|[^'\\]|\\[^'])*''|{_LITERAL}|\"(?:[^\"\\]|\\.)*\""
    r"|(?P<dollars>\$\w*\$).*?(?P=dollars)|[^\s'\",;()&]+)"
)
_NAME = r"\w*(?:passw(?:or)?d|passphrase|pwd|secret|token|credential|(?:api|access|private|auth)_?key)\w*"
# password 'x', "password" 'x', password=x, password => 'x', "token": "x".
_NAMED = re.compile(
    rf"(?P<name>\b{_NAME}[\"']?)(?P<between>\s*(?:=>|:=|[=:])\s*|\s+(?=[eE]?'|\$)){_VALUE}", re.IGNORECASE | re.DOTALL
)
# postgresql://user:password@host
_ADDRESS = re.compile(r"(?P<user>\b[\w+.-]+://[^\s:/@'\"]*):[^\s/@'\"]+(?=@)")
# Options of a user mapping or a foreign server, each of whose wrappers has its own words for a password.
_OPTIONS = re.compile(
    r"\b(?:CREATE|ALTER) (?:USER MAPPING|SERVER)\b[^;]*?\bOPTIONS \("
    rf"(?P<options>(?:{_LITERAL}|[^')])*)\)",
    re.DOTALL,
)
_OPTION = re.compile(rf"(?P<name>\"(?:[^\"]|\"\")+\"|\w+)(?P<between>\s+){_LITERAL}", re.DOTALL)
_HARMLESS = ("host", "hostaddr", "port", "dbname", "dbserver", "server", "servername", "database", "user", "username")
# After these words a program quotes a row, whose values may hold ends of lines; the next message begins with its kind.
_ROW = re.compile(
    r"(?P<kept>CONTEXT:\s+COPY [^,\n]+, line \d+|DETAIL:\s+(?:Failing row contains|Key ))"
    r"(?:(?!\n(?:[A-Z]+:|\w+: )).)*\S(?=\n|\Z)",
    re.DOTALL,
)


def masked(text: str) -> str:
    """The text with ******** for each secret, on as many lines."""
    text = _ROW.sub(lambda found: f"{found['kept']}…", text)
    text = _OPTIONS.sub(_without_options, text)
    text = _NAMED.sub(lambda found: f"{found['name']}{found['between']}{_MASK}{_ends(found)}", text)
    return _ADDRESS.sub(rf"\g<user>:{_MASK}", text)


def _without_options(found: re.Match[str]) -> str:
    start = found.start("options") - found.start()
    return found[0][:start] + _OPTION.sub(_without_value, found["options"]) + found[0][start + len(found["options"]) :]


def _without_value(found: re.Match[str]) -> str:
    if found["name"].strip('"') in _HARMLESS:
        return found[0]
    return f"{found['name']}{found['between']}{_MASK}{_ends(found)}"


def _ends(found: re.Match[str]) -> str:
    """The ends of lines in what is masked, so that line n stays line n."""
    return "\n" * (found[0].count("\n") - found["between"].count("\n"))
