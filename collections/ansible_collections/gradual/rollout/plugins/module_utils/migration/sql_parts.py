# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The part of an SQL file that applies it and the one that undoes it, by the comments of dbmate, goose and
sql-migrate. Pure functions.

dbmate: `-- migrate:up transaction:false`, `-- migrate:down`. goose: `-- +goose Up`, `Down`, `StatementBegin`,
`StatementEnd`, `NO TRANSACTION`. sql-migrate: the same with +migrate, and `Up notransaction`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.gradual.rollout.plugins.module_utils.migration import sql_text
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

_MARK = re.compile(
    r"\s*--\s*(?:migrate:(?P<dbmate>up|down)\b|\+goose\s+(?P<goose>[A-Za-z]+)|\+migrate\s+(?P<migrate>[A-Za-z]+))"
    r"(?P<options>.*)",
    re.IGNORECASE,
)
TOOLS = {"dbmate": "dbmate", "goose": "goose", "migrate": "sql-migrate"}
# What to write, by tool, for a part that must run outside of a transaction.
NO_TRANSACTION = {
    "": "`-- gradual: transaction=none` at its top",
    "dbmate": "`transaction:false` behind `-- migrate:up`",
    "goose": "`-- +goose NO TRANSACTION` at its top",
    "sql-migrate": "`notransaction` behind `-- +migrate Up`",
}


@dataclass(frozen=True)
class Part:
    """Text on the lines that it has in its file. whole: whether it may run in one transaction."""

    text: str
    whole: bool = True


@dataclass(frozen=True)
class Parts:
    """tool: whose comments the file has, or "". down: None for a file that has no such part."""

    tool: str
    up: Part
    down: Part | None


def split(text: str, file: str) -> Parts:
    """The parts of a file; all of it is `up` without such comments."""
    marks = {number: match for number, match in enumerate(map(_MARK.match, sql_text.lines(text))) if match}
    tools = sorted({_tool(match) for match in marks.values()})
    if not tools:
        return Parts("", Part(text), None)
    if len(tools) > 1:
        raise DatabaseError(f"{file} has comments of {' and of '.join(tools)}; write those of one tool")
    return _split(text, file, tools[0], marks)


def _tool(match: re.Match[str]) -> str:
    return next(tool for key, tool in TOOLS.items() if match[key])


def _word(match: re.Match[str]) -> str:
    return str(match["dbmate"] or match["goose"] or match["migrate"]).lower()


def _split(text: str, file: str, tool: str, marks: dict[int, re.Match[str]]) -> Parts:
    lines: dict[str, list[str]] = {"": [], "up": [], "down": []}
    alone: set[str] = set()
    now = ""
    for number, line in enumerate(sql_text.lines(text)):
        word = _word(marks[number]) if number in marks else None
        now = word if word in lines else now
        if word is not None:
            alone |= _alone(now, word, marks[number]["options"].lower())
        ending = line[len(line.rstrip("\r\n")) :]
        here = line if word is None else _instead(word, marks[number], file) + ending
        for part, kept in lines.items():
            kept.append(here if part == now else ending)
    if sql_text.statements("".join(lines[""]), file):
        raise DatabaseError(f"{file} has SQL before the first comment of {tool} that begins a part; move it behind it")
    if not any(_word(one) == "up" for one in marks.values()):
        raise DatabaseError(f"{file} has comments of {tool}, but none begins the part that applies it (Up)")
    has_down = any(_word(one) == "down" for one in marks.values())
    up, down = (Part("".join(lines[part]) + "\n", part not in alone) for part in ("up", "down"))
    return Parts(tool, up, down if has_down else None)


def _alone(now: str, word: str, options: str) -> set[str]:
    """The parts that a comment takes out of the transaction."""
    if word == "no" and "transaction" in options:
        return {"up", "down"}
    return {now} if re.search(r"\bnotransaction\b|\btransaction:\s*false\b", options) else set()


def _instead(word: str, mark: re.Match[str], file: str) -> str:
    """What stands for a comment: the end of a statement ends it also without a semicolon."""
    if word == "envsub":
        raise DatabaseError(f"{file} has {mark[0].strip()!r}: Gradual puts no variables into SQL; write the values")
    return ";" if word == "statementend" else ""


def unwrapped(part: Part, file: str) -> Part:
    """Without a BEGIN and COMMIT around all of it, since Gradual puts it and its record into one transaction."""
    found = list(sql_text.located(part.text, file))
    inside = [one.text for one in found[1:-1]]
    if len(found) < 2 or not part.whole or sql_text.controls_transactions(inside):
        return part
    if not (sql_text.begins(found[0].text) and sql_text.commits(found[-1].text)):
        return part
    text = part.text
    for one in (found[0], found[-1]):
        text = text[: one.begin] + re.sub(r"[^\r\n]", " ", text[one.begin : one.end]) + text[one.end :]
    return Part(text)
