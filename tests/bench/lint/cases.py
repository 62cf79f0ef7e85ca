"""The cases of the lint bench, as its data files have them.

A file corpus/TOPIC.sql has cases separated by blank lines. A case is its SQL, below comment lines that say
what must be known beyond it:

    -- a title (any other comment; the SQL itself is the title if there is none)
    -- earlier: SQL of a revision of an earlier rollout, which the previous release knows
    -- outside: the revision runs outside a transaction
    -- by hand: harmful|harmless, and the reason why the machine cannot see it
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pglast

DATA = Path(__file__).parent / "corpus"
TOPICS = (
    "columns", "types", "constraints", "indexes", "tables", "partitions", "views", "functions", "domains", "sequences",
    "rows", "maintenance", "roles", "transactions", "new_tables",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One revision of phase expand. earlier: statements that ran before the previous release was there; file: the
    migration's text for alembic and django, whose SQL the tool itself makes."""

    topic: str
    title: str
    statements: tuple[str, ...]
    transaction: bool = True
    earlier: tuple[str, ...] = ()
    by_hand: str = ""
    tool: str = "sql"
    file: str = ""
    text: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        return f"{self.topic}: {self.title}"

    @property
    def whole(self) -> str:
        """All text of the case, in which --case looks."""
        return "\n".join((self.name, *(f"earlier: {one}" for one in self.earlier), self.text))


def cases() -> list[Case]:
    """All cases written in SQL; ValueError for a case that is there twice or has no statement."""
    found = [one for topic in TOPICS for one in parsed(topic, (DATA / f"{topic}.sql").read_text(encoding="utf-8"))]
    seen: dict[tuple[object, ...], Case] = {}
    for one in found:
        key = (one.earlier, one.transaction, tuple(" ".join(sql.split()).lower() for sql in one.statements))
        if key in seen:
            raise ValueError(f"a case is there twice: {seen[key].name} and {one.name}")
        seen[key] = one
    return found


def parsed(topic: str, text: str) -> Iterator[Case]:
    """The cases of one file; a block of comments alone is none."""
    for block in text.split("\n\n"):
        lines = block.strip("\n").split("\n")
        notes = [line[2:].strip() for line in lines if line.startswith("--")]
        sql = "\n".join(line for line in lines if not line.startswith("--")).strip()
        if sql:
            yield _case(topic, notes, sql)


def _case(topic: str, notes: list[str], sql: str) -> Case:
    known = {key: [one[len(key) + 1 :].strip() for one in notes if one.startswith(f"{key}:")] for key in KEYS}
    titles = [one for one in notes if not any(one.startswith(f"{key}:") for key in KEYS) and one != "outside"]
    return Case(
        topic,
        titles[0] if titles else " ".join(sql.rstrip(";").split()),
        split(sql),
        transaction="outside" not in notes,
        earlier=tuple(one for text in known["earlier"] for one in split(text)),
        by_hand=" ".join(known["by hand"]),
        text=sql,
    )


KEYS = ("earlier", "by hand")


def split(sql: str) -> tuple[str, ...]:
    """The statements of a text, without semicolons; the whole text if PostgreSQL's parser refuses it."""
    try:
        return tuple(one.strip() for one in pglast.split(sql))
    except pglast.parser.ParseError:
        return (sql.strip().rstrip(";"),)
