# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Read SQL files as text: their statements, their settings for Gradual, and what is not allowed in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterator, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import PHASES, UNKNOWN
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

_TEXTS = re.compile(r"'(?:[^']|'')*'|(\$(?:[A-Za-z_]\w*)?\$).*?\1", re.DOTALL)
_CONCURRENT = re.compile(r"\b(CREATE|DROP|REINDEX|DETACH)\b.*\bCONCURRENTLY\b", re.IGNORECASE | re.DOTALL)
_TRANSACTION = re.compile(
    r"(BEGIN(?!\s+ATOMIC)|START\s+TRANSACTION|COMMIT|END|ROLLBACK(?!\s+TO)|ABORT|PREPARE\s+TRANSACTION)\b",
    re.IGNORECASE,
)
# https://www.postgresql.org/docs/current/sql-commands.html: these "cannot be executed within a transaction block".
_ALONE = re.compile(
    r"(VACUUM|ALTER\s+SYSTEM|(CREATE|DROP)\s+(DATABASE|TABLESPACE|SUBSCRIPTION)|REINDEX\s+(DATABASE|SYSTEM))\b",
    re.IGNORECASE,
)
_TOLD = re.compile(r"--\s*gradual:\s*(?P<words>.*)$")
# Tokens that are read as a whole, because a semicolon or dash inside has no meaning.
_WHOLE = re.compile(
    r"""
    (?P<comment>--[^\n]*)
  | (?P<block>/\*)
  | (?P<text>[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag))
  | (?P<open>['"] | \$(?:[A-Za-z_]\w*)?\$)
  | (?P<end>;)
  | (?P<meta>\\)
""",
    re.VERBOSE | re.DOTALL,
)
ALLOWED: Mapping[str, tuple[str, ...]] = {"phase": PHASES, "transaction": ("one", "none")}


@dataclass(frozen=True)
class Located:
    """A statement without comments, and where it begins and ends in its text, its semicolon included."""

    text: str
    begin: int
    end: int


def statements(text: str, file: str, plain: bool = True) -> list[str]:
    """The statements without comments. Refuses unclosed quotes and, if plain, psql's commands, which could turn off
    protections."""
    return [one.text for one in located(text, file, plain)]


def located(text: str, file: str, plain: bool = True) -> Iterator[Located]:
    """As statements."""
    now: list[str] = []
    begin = place = 0
    while True:
        match = _WHOLE.search(text, place)
        now.append(text[place : match.start() if match else len(text)])
        place = match.end() if match else len(text)
        if match is None or (match["end"] and not _in_function("".join(now))):
            said = "".join(now).strip()
            if said:
                yield Located(said, begin, place)
            now, begin = [], place
            if match is None:
                return
        elif match["block"]:
            place = _after_comment(text, match.start(), file)
            now.append(" ")
        elif match["meta"] and not plain:
            place = (text + "\n").index("\n", place)
        elif match["open"] or match["meta"]:
            line = text.count("\n", 0, match.start()) + 1
            what = "has a backslash command of psql" if match["meta"] else f"has a {match['open']} that is not closed"
            raise DatabaseError(f"{file}, line {line}, {what}; write plain SQL")
        elif not match["comment"]:
            now.append(match["text"] or ";")


def _after_comment(text: str, begin: int, file: str) -> int:
    """Where a /* comment */ ends; they nest."""
    depth = 0
    for mark in re.finditer(r"/\*|\*/", text[begin:]):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return begin + mark.end()
    line = text.count("\n", 0, begin) + 1
    raise DatabaseError(f"{file}, line {line}, has a comment that is not closed; write plain SQL")


def _in_function(statement: str) -> bool:
    """Whether the statement so far ends inside a function body (BEGIN ATOMIC … END)."""
    body = re.search(r"\bBEGIN\s+ATOMIC\b", statement, re.IGNORECASE)
    return bool(body and not re.search(r"\bEND\s*$", statement[body.end() :], re.IGNORECASE))


def told(text: str, file: str) -> dict[str, str]:
    """The settings in the comments at the top of the file: `-- gradual: phase=expand transaction=none`."""
    found = {"phase": UNKNOWN, "transaction": "one"}
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("--"):
            break
        match = _TOLD.match(line.strip())
        for word in match["words"].replace(",", " ").split() if match else ():
            key, _equals, value = word.partition("=")
            if value not in ALLOWED.get(key, ()):
                may = " or ".join(f"{name}=({'|'.join(values)})" for name, values in ALLOWED.items())
                raise DatabaseError(f"{file}: comment `-- gradual:`, got {word!r}, expected {may}")
            found[key] = value
    return found


def description(text: str) -> str:
    """The first comment without settings for Gradual."""
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("--"):
            break
        said = line.strip().lstrip("- ").strip()
        if said and not _TOLD.match(line.strip()):
            return said
    return ""


def concurrent(found: list[str]) -> bool:
    """Whether a statement itself says CONCURRENTLY, not a text or the body of a function."""
    return any(_CONCURRENT.search(_TEXTS.sub("''", one)) for one in found)


def controls_transactions(found: list[str]) -> list[str]:
    """Statements that begin or end a transaction."""
    return [one for one in found if _TRANSACTION.match(one)]


def begins(statement: str) -> bool:
    """Whether it begins a transaction of the default kind."""
    return bool(re.fullmatch(r"(BEGIN(\s+(WORK|TRANSACTION))?|START\s+TRANSACTION)", statement, re.IGNORECASE))


def commits(statement: str) -> bool:
    return bool(re.fullmatch(r"(COMMIT|END)(\s+(WORK|TRANSACTION))?", statement, re.IGNORECASE))


def runs_alone(found: list[str]) -> bool:
    """Whether a statement cannot run inside a transaction."""
    return concurrent(found) or any(_ALONE.match(one) for one in found)


def words(found: list[str]) -> frozenset[str]:
    """Every word, as written and in lower case as PostgreSQL folds it, and every quoted name; names of new indexes are
    among them, cut to the length that PostgreSQL keeps (NAMEDATALEN - 1 bytes)."""
    plain = {word for one in found for word in re.findall(r"\w+", one)}
    quoted = {name.replace('""', '"') for one in found for name in re.findall(r'"((?:[^"]|"")+)"', one)}
    return frozenset(map(_cut, plain | {word.lower() for word in plain} | quoted))


def _cut(name: str) -> str:
    return name.encode()[:63].decode("utf-8", "ignore")


def server_sentence(output: str) -> str:
    """psql's last error with detail and hint, without position and SQLSTATE; else the last line."""
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    for number in range(len(lines) - 1, -1, -1):
        match = re.search(r"\b(?:ERROR|FATAL|error|fatal):\s+(?:[0-9A-Z]{5}:\s+)?(?P<said>.+)$", lines[number])
        if match:
            said = [match["said"]]
            said += [line.strip() for line in lines[number + 1 : number + 8] if line.startswith(("DETAIL:", "HINT:"))]
            return " ".join(said)
    return lines[-1].strip() if lines else "it printed nothing"
