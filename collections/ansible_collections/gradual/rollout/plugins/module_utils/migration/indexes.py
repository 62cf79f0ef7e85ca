# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Indexes that CREATE INDEX CONCURRENTLY left invalid: they slow every write, no query uses them, and IF NOT EXISTS
treats them as existing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Collection, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Revision
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session, quote

_INVALID = """
SELECT i.indexrelid::bigint, n.nspname::text, c.relname::text, t.relname::text
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_class t ON t.oid = i.indrelid
 WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname !~ '^pg_toast'
   AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
 ORDER BY 2, 3
"""


@dataclass(frozen=True)
class Index:
    oid: int
    schema: str
    name: str
    table: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def drop(self) -> str:
        return f"DROP INDEX CONCURRENTLY {quote(self.schema, self.name)}"


@dataclass
class Builds:
    """What is known of the builds of one step. before: the oids of the indexes that were there when it began; seen:
    those that its own sessions were seen to build; printed: what the tool printed, where the server's error names the
    index."""

    before: Collection[int] = ()
    seen: set[int] = field(default_factory=set)
    printed: str = ""

    def own(self, found: Sequence[Index], revision: Revision) -> list[Index]:
        """Those that this step began: only they may be dropped."""
        named = of_revision(found, revision)
        return [one for one in found if one in named or one.oid in self.seen or self._is_printed(one)]

    def _is_printed(self, one: Index) -> bool:
        return one.oid not in self.before and f'"{one.name}"' in self.printed

    def foreign(self, found: Sequence[Index], revision: Revision) -> list[Index]:
        """Those that became invalid in the meantime, which somebody else may have begun."""
        own = self.own(found, revision)
        return [one for one in found if one.oid not in self.before and one not in own]


def invalid(session: Session) -> list[Index]:
    """Each invalid index that is not being built now."""
    return [Index(*row) for row in session.rows(_INVALID)]


def there(session: Session) -> list[int]:
    """The oids of all indexes, so that those of an attempt are known whatever their names."""
    return [row[0] for row in session.rows("SELECT indexrelid::bigint FROM pg_index")]


def of_revision(found: Sequence[Index], revision: Revision) -> list[Index]:
    """The indexes that this revision makes: its file has their name, without a suffix of REINDEX CONCURRENTLY."""
    return [one for one in found if one.name in revision.words or one.name.partition("_ccnew")[0] in revision.words]


def drop_leftovers(session: Session, revision: Revision, patience: float, builds: Builds) -> list[str]:
    """Drop the invalid indexes of a failed attempt, so that the next one makes them again. An invalid unique one may
    still refuse values.

    patience: seconds to wait for older transactions, each time.
    """
    done = []
    found = builds.own(invalid(session), revision)
    session.run("SELECT set_config('statement_timeout', %s, false)", (str(int(patience * 1000)),))
    for one in found:
        session.run(f"DROP INDEX CONCURRENTLY IF EXISTS {quote(one.schema, one.name)}")
        done.append(f"dropped the invalid index {one} on {one.table} that an attempt left")
    session.run("SELECT set_config('statement_timeout', '0', false)")
    return done


def to_type(session: Session, revision: Revision, builds: Builds) -> str:
    """The statements for a person who drops what an attempt left."""
    return "; ".join(one.drop for one in builds.own(invalid(session), revision))


def of_dead_run(session: Session, revision: Revision) -> list[Index]:
    """Invalid indexes that an attempt may have left whose end nobody saw: their tables are named in the revision, and
    they are not."""
    found = invalid(session)
    named = of_revision(found, revision)
    return [one for one in found if one not in named and one.table in revision.words]


def rebuild(session: Session, revision: Revision) -> list[str]:
    """Rebuild the revision's indexes that are invalid although it is applied."""
    done = []
    for one in of_revision(invalid(session), revision):
        session.run(f"REINDEX INDEX CONCURRENTLY {quote(one.schema, one.name)}")
        done.append(f"rebuilt the invalid index {one} on {one.table}")
    return done


def names(found: Sequence[Index]) -> list[str]:
    return [str(one) for one in found]
