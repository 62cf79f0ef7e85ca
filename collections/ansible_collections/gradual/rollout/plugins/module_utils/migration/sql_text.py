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
# PostgreSQL's words: https://www.postgresql.org/docs/current/sql-syntax-lexical.html
_WORD = r"[A-Za-z_\u0080-\U0010ffff][\w$\u0080-\U0010ffff]*"
_TAG = r"\$(?:[A-Za-z_\u0080-\U0010ffff][\w\u0080-\U0010ffff]*)?\$"
# Tokens that are read as a whole, because a semicolon or dash inside has no meaning; and what nests (_Nesting).
_WHOLE = re.compile(
    rf"""
    (?P<comment>--[^\r\n]*)
  | (?P<block>/\*)
  | (?P<text>[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" | (?P<tag>{_TAG}).*?(?P=tag))
  | (?P<open>['"] | {_TAG})
  | (?P<nesting>{_WORD} | [()])
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


def decoded(content: bytes, file: str) -> str:
    """A file of SQL as text, without a byte order mark. Refuses what psql would not read to its end."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatabaseError(
            f"{file} is not UTF-8: byte {error.start} is {content[error.start]:#x}; save it as UTF-8"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DatabaseError(f"{file}, line {line}, has a null byte, at which psql stops reading; save it as UTF-8")
    return text


def statements(text: str, file: str, plain: bool = True) -> list[str]:
    """The statements without comments. Refuses unclosed quotes and, if plain, psql's commands, which could turn off
    protections."""
    return [one.text for one in located(text, file, plain)]


def located(text: str, file: str, plain: bool = True) -> Iterator[Located]:
    """As statements."""
    now: list[str] = []
    nesting = _Nesting()
    begin = place = 0
    while True:
        match = _WHOLE.search(text, place)
        now.append(text[place : match.start() if match else len(text)])
        place = match.end() if match else len(text)
        if match is None or (match["end"] and not nesting.is_open()):
            said = "".join(now).strip()
            if said:
                yield Located(said, begin, place)
            now, nesting, begin = [], _Nesting(), place
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
            nesting.see(match["nesting"] or "")
            now.append(match[0])


class _Nesting:
    """Whether a semicolon is inside of something, as psql sees it (psqlscan.l): parentheses, and the body of a function
    (BEGIN ATOMIC … END), where CASE has an END too."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.parentheses = self.blocks = 0

    def is_open(self) -> bool:
        return bool(self.parentheses or self.blocks)

    def see(self, found: str) -> None:
        """found: a word or a parenthesis outside of texts and comments."""
        if found in ("(", ")"):
            self.parentheses = max(0, self.parentheses + (1 if found == "(" else -1))
        elif found and not self.parentheses:
            self._word(found.lower())

    def _word(self, word: str) -> None:
        if self.blocks:
            self.blocks += {"case": 1, "end": -1}.get(word, 0)
        elif word == "atomic" and self.words[-1:] == ["begin"] and self.words[0] == "create":
            self.blocks = 1
        self.words.append(word)


def _after_comment(text: str, begin: int, file: str) -> int:
    """Where a /* comment */ ends; they nest."""
    depth = 0
    for mark in re.finditer(r"/\*|\*/", text[begin:]):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return begin + mark.end()
    line = text.count("\n", 0, begin) + 1
    raise DatabaseError(f"{file}, line {line}, has a comment that is not closed; write plain SQL")


def lines(text: str) -> list[str]:
    """Lines with their ends, as PostgreSQL ends a comment; splitlines() also ends one at characters that a comment or a
    literal may hold."""
    return re.split(r"(?<=\n)|(?<=\r)(?!\n)", text)


def told(text: str, file: str) -> dict[str, str]:
    """The settings in the comments at the top of the file: `-- gradual: phase=expand transaction=none`."""
    found = {"phase": UNKNOWN, "transaction": "one"}
    for line in lines(text):
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
    for line in lines(text):
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
