"""What a migration does to a database that is in use: tried on a real server, and not looked up.

A case is harmful when PostgreSQL refuses it, when the previous release's statements fail or answer otherwise after it,
when it works longer on a larger table while it holds a lock that blocks readers or writers of it, or when it changes or
locks most rows of a table in one transaction. A lock that is held for a moment is harmless: the migrator's lock timeout
and its attempts are for that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.rules import ERROR, WARNING
from psycopg.pq import TransactionStatus

from tests.bench.lint.cases import Case
from tests.bench.lint.databases import (
    Connection,
    Kept,
    answers,
    answers_now,
    connected,
    copied,
    differences,
    told,
    writes,
)
from tests.database.server import OWNER, Server

# Work is told in pages that a statement touches, in shared buffers or in temporary files. A scan of one table touches
# about 200 more of them in the large database; the catalogs' share does not grow.
GROWTH = 50
# Of a table's rows: what changes or locks more of them in one transaction counts as all.
MOST = 0.5
# Modes that a reader's or a writer's lock conflicts with, weakest first.
READERS = ("AccessExclusiveLock",)
BLOCKING = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")
MODES = ("AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock", *BLOCKING)
# Their own transaction when they run outside of one: as good in one that begins and commits.
ROWS_ONLY = ("UPDATE", "DELETE", "INSERT", "MERGE", "SELECT", "WITH")
PATIENCE = 20.0
ROWS, OLD_CODE, FAILS = "changes or locks", "old code:", "→ error:"


@dataclass
class Seen:
    """What one run of a case showed. locks: table → strongest mode; blocked: pages touched while a lock that blocks was
    held; changed: table → share of its rows that were changed or locked."""

    error: str = ""
    locks: dict[str, str] = field(default_factory=dict)
    blocked: int = 0
    rewritten: list[str] = field(default_factory=list)
    indexes: int = 0
    changed: dict[str, float] = field(default_factory=dict)
    old_code: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Truth:
    """harmful: with its reasons; the rest is for whoever mends a rule."""

    reasons: tuple[str, ...]
    lock: str
    rewritten: tuple[str, ...]
    indexes: int
    pages: tuple[int, int]

    @property
    def harmful(self) -> bool:
        return bool(self.reasons)


def truth(kept: Kept, case: Case) -> Truth:
    """What the server says of a case. ValueError if what runs before it fails."""
    small = tried(kept, case, "small")
    large = tried(kept, case, "large") if small.blocked > 0 and not small.error else small
    return Truth(
        tuple(reasons(small, large)),
        _strongest(small.locks),
        tuple(sorted(small.rewritten)),
        small.indexes,
        (small.blocked, large.blocked),
    )


def level(reasons: Sequence[str]) -> str:
    """What a harmful case deserves: ERROR; WARNING for rows alone that are many, while nobody else waits; "" for no
    harm. That old code reads the new values is what the author of such a change wants."""
    rows = [one for one in reasons if one.startswith(ROWS)]
    values = [one for one in reasons if one.startswith(OLD_CODE) and FAILS not in one]
    if not reasons:
        return ""
    return WARNING if rows and len(rows) + len(values) == len(reasons) else ERROR


def _strongest(locks: Mapping[str, str]) -> str:
    """The strongest mode, and the tables that it is on."""
    strongest = max(locks.values(), key=MODES.index, default="")
    return f"{strongest} on {', '.join(sorted(table for table in locks if locks[table] == strongest))}" if locks else ""


def reasons(small: Seen, large: Seen) -> Iterator[str]:
    """Why a case is harmful; nothing for a harmless one."""
    if small.error:
        yield f"PostgreSQL refuses it: {small.error}"
    if large.blocked - small.blocked > GROWTH:
        yield f"blocks for as long as the table is large ({small.blocked} pages, {large.blocked} in the larger table)"
    yield from (f"{ROWS} {share:.0%} of {table}" for table, share in small.changed.items() if share > MOST)
    yield from (f"{OLD_CODE} {one}" for one in small.old_code)


def tried(kept: Kept, case: Case, template: str) -> Seen:
    """One run: rolled back where that leaves nothing behind, on a database of its own else."""
    if case.transaction and not case.earlier and not any("setval" in one for one in case.statements):
        return _rolled_back(kept, case, template)
    with copied(kept.server, template) as name, connected(kept.server, name, OWNER) as owner:
        for statement in case.earlier:
            try:
                owner.execute(statement.encode())
            except psycopg.Error as error:
                raise ValueError(f"{case.name}: what runs before it fails: {told(error)}") from error
        more = writes(case.earlier)
        before = answers_now(kept.server, name, more) if template == "small" else {}
        with connected(kept.server, name) as watcher:
            trial = Trial(kept.server, owner, watcher)
            trial.run(case)
        # What a failed migration leaves behind counts too, such as half of a file outside a transaction.
        trial.end("COMMIT")
        if template == "small":
            trial.seen.old_code = list(differences(before, answers_now(kept.server, name, more)))
        return trial.seen


def _rolled_back(kept: Kept, case: Case, template: str) -> Seen:
    name = kept.of(template)
    before = kept.answers(template) if template == "small" else {}
    with connected(kept.server, name, OWNER) as owner, connected(kept.server, name) as watcher:
        trial = Trial(kept.server, owner, watcher)
        trial.run(case)
        if trial.inside():
            if template == "small":
                trial.seen.old_code = list(differences(before, answers(owner)))
        elif not trial.seen.error:
            kept.renew(template)
        touched = trial.touched()
        trial.end("ROLLBACK")
        for table in touched:
            watcher.execute(f"VACUUM {table}".encode())
    return trial.seen


class Trial:
    """A case as it runs on one database; `owner` runs it, `watcher` looks on."""

    def __init__(self, server: Server, owner: Connection, watcher: Connection) -> None:
        self.server, self.owner, self.watcher = server, owner, watcher
        self.seen = Seen()
        watcher.execute(
            "SELECT pg_stat_statements_reset(0, oid, 0) FROM pg_database WHERE datname = current_database()"
        )
        # Tables, and what blocks their users too when it is locked: indexes, views, sequences.
        self.names = {oid: name for oid, name, _kind, _file in self._relations()}
        self.tables = {oid for oid, _name, kind, _file in self._relations() if kind in ("r", "p", "m", "v")}
        self.readonly = {oid for oid, _name, kind, _file in self._relations() if kind == "m"}
        self.files = {oid: file for oid, _name, _kind, file in self._relations()}
        self.rows = dict(watcher.execute("SELECT oid, reltuples FROM pg_class WHERE relkind = 'r'").fetchall())

    def run(self, case: Case) -> None:
        """All statements, and what a commit checks, without the commit; stops at the first that PostgreSQL refuses."""
        # The same plan in the small database and in the large one, so that their work can be compared.
        self.owner.execute("SET enable_nestloop = off; SET enable_indexscan = off")
        try:
            if case.transaction:
                self._one("BEGIN")
            for statement in case.statements:
                self._one(statement)
            if self.inside():
                self._one("SET CONSTRAINTS ALL IMMEDIATE")
                self._look()
        except psycopg.Error as error:
            self.seen.error = told(error)
            self.end("ROLLBACK")
        self._compare()

    def inside(self) -> bool:
        """Whether a transaction is open."""
        return self.owner.info.transaction_status != TransactionStatus.IDLE

    def end(self, how: str) -> None:
        """End the transaction, if there is one."""
        if self.inside():
            self.owner.execute(how.encode())

    def touched(self) -> list[str]:
        """Tables that the open transaction has written to."""
        if not self.inside():
            return []
        found = self.owner.execute(
            "SELECT relid FROM pg_stat_xact_user_tables WHERE n_tup_ins + n_tup_upd + n_tup_del > 100"
        )
        return [self._qualified(oid) for (oid,) in found.fetchall() if oid in self.names]

    def _one(self, statement: str) -> None:
        word = statement.split()[0].upper()
        if word in ("COMMIT", "END"):
            self._look()
        before, held = self._pages(), self._blocks()
        if self.inside() or word in ("BEGIN", "START"):
            self.owner.execute(statement.encode())
            held = self._blocks() or held
        elif word in ROWS_ONLY:
            for one in ("BEGIN", statement, "COMMIT"):
                self._one(one)
        else:
            held = self._alone(statement)
        self.seen.blocked += self._pages() - before if held else 0

    def _alone(self, statement: str) -> bool:
        """A statement that is its own transaction, while somebody has written to every table: the lock for which it has
        to wait is one that blocks. What it locks later, it locks for a moment."""
        done: list[psycopg.Error | None] = []
        thread = threading.Thread(target=self._execute, args=(statement, done))
        with connected(self.server, self.owner.info.dbname) as writer:
            writer.execute("BEGIN")
            for oid, _name, kind, _file in self._relations():
                if kind in ("r", "m"):
                    lock = "LOCK TABLE ONLY {} IN ROW EXCLUSIVE MODE" if kind == "r" else "SELECT FROM {} LIMIT 0"
                    writer.execute(lock.format(self._qualified(oid)).encode())
            thread.start()
            blocks = self._waits(done)
            writer.execute("ROLLBACK")
        thread.join(PATIENCE)
        if not done:
            raise TimeoutError(f"not done after {PATIENCE:.0f} s: {statement}")
        if done[0] is not None:
            raise done[0]
        return blocks

    def _execute(self, statement: str, done: list[psycopg.Error | None]) -> None:
        try:
            self.owner.execute(statement.encode())
            done.append(None)
        except psycopg.Error as error:
            done.append(error)

    def _waits(self, done: Sequence[object]) -> bool:
        """Whether it waits for a lock on a table, before it is done or waits for something else."""
        pid, end = self.owner.info.backend_pid, time.monotonic() + PATIENCE
        while not done and time.monotonic() < end:
            self._note(self._locks())
            waiting = self.watcher.execute(
                "SELECT locktype, relation FROM pg_locks WHERE pid = %s AND NOT granted", (pid,)
            ).fetchall()
            if waiting:
                return any(kind == "relation" and oid in self.names for kind, oid in waiting)
            time.sleep(0.002)
        return False

    def _locks(self) -> list[tuple[int, str]]:
        return self.watcher.execute(
            "SELECT relation, mode FROM pg_locks WHERE pid = %s AND locktype = 'relation'",
            (self.owner.info.backend_pid,),
        ).fetchall()

    def _blocks(self) -> bool:
        """Whether the open transaction holds a lock on an old table that blocks its readers or writers."""
        held = self._locks()
        self._note(held)
        # Nobody writes to a materialized view.
        return any(oid in self.names and mode in (READERS if oid in self.readonly else BLOCKING) for oid, mode in held)

    def _note(self, held: Sequence[tuple[int, str]]) -> None:
        for oid, mode in held:
            name = self.names[oid] if oid in self.tables else ""
            if name and MODES.index(mode) > MODES.index(self.seen.locks.get(name, MODES[0])):
                self.seen.locks[name] = mode

    def _pages(self) -> int:
        """Pages that the owner's statements touched on this database."""
        found = self.watcher.execute(
            "SELECT coalesce(sum(shared_blks_hit + shared_blks_read + local_blks_hit + local_blks_read + temp_blks_read"
            " + temp_blks_written), 0) FROM pg_stat_statements WHERE userid = %s::regrole AND dbid = (SELECT oid FROM"
            " pg_database WHERE datname = current_database())",
            (OWNER,),
        ).fetchone()
        return int(found[0]) if found else 0

    def _relations(self) -> list[tuple[int, str, str, int]]:
        """(oid, name, kind, file) of all that a user of the database meets."""
        return self.watcher.execute(RELATIONS).fetchall()

    def _qualified(self, oid: int) -> str:
        found = self.watcher.execute("SELECT %s::regclass::text", (oid,)).fetchone()
        return str(found[0]) if found else ""

    def _look(self) -> None:
        """Rows that the open transaction changed or locked."""
        for oid, changed in self.owner.execute(
            "SELECT relid, n_tup_upd + n_tup_del FROM pg_stat_xact_user_tables WHERE n_tup_upd + n_tup_del > 0"
        ).fetchall():
            self._changed(oid, changed)
        for oid, mode in self._locks():
            if mode == "RowShareLock" and oid in self.rows:
                # In the transaction itself, since nobody else may read a table that it has locked.
                found = self.owner.execute(
                    "SELECT count(*) FROM pg_class c, pgrowlocks(c.oid::regclass::text) WHERE c.oid = %s", (oid,)
                ).fetchone()
                self._changed(oid, found[0] if found else 0)

    def _changed(self, oid: int, rows: int) -> None:
        if oid in self.names and self.rows.get(oid, 0) > 0:
            name = self.names[oid]
            self.seen.changed[name] = max(self.seen.changed.get(name, 0.0), rows / self.rows[oid])

    def _compare(self) -> None:
        """Which tables have another file than before, and how many indexes are new, as the transaction sees it."""
        for oid, name, kind, file in self.owner.execute(RELATIONS).fetchall():
            if kind in ("r", "m") and self.files.get(oid, file) != file:
                self.seen.rewritten.append(name)
            self.seen.indexes += kind == "i" and self.files.get(oid) != file


RELATIONS = (
    "SELECT c.oid, c.relname, c.relkind::text, pg_relation_filenode(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid"
    " = c.relnamespace WHERE n.nspname IN ('public', 'reports') AND c.relkind IN ('r', 'p', 'm', 'v', 'i', 'I', 'S')"
)
