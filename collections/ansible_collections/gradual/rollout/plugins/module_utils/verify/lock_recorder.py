# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Record the locks that a migration takes on a throwaway copy, from inside the migration's own transaction.

Polling pg_locks from another session misses short locks. So the copy gets a trigger on the tool's table of revisions,
which is written last before the commit, and an event trigger after each DDL command. Both record the locks of their own
session; a transaction keeps its locks until it ends. Statements outside a transaction (CONCURRENTLY) are polled.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from typing import Any, Iterator, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration.attempt import APPLICATION_NAME
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.processes import (
    clean_environment,
    credentials,
    die_with_parent,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.revisions import TABLES
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session, conninfo, quote

SCHEMA = "gradual_rehearsal"
NAME = "gradual-rehearsal"
# Weakest first, as PostgreSQL's manual lists them (13.3.1).
MODES = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
# Modes that block writes.
AGAINST_WRITES = MODES[4:]

_SETUP = f"""
CREATE SCHEMA {SCHEMA};
CREATE TABLE {SCHEMA}.seen (relation oid, mode text, source text, transaction bigint, seconds numeric,
  UNIQUE (relation, mode, source, transaction));
CREATE TABLE {SCHEMA}.known (relation oid PRIMARY KEY, name text, filenode oid);

CREATE FUNCTION {SCHEMA}.note(source text) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
  INSERT INTO {SCHEMA}.seen
  SELECT l.relation, l.mode, source, txid_current(), extract(epoch FROM clock_timestamp() - transaction_timestamp())
    FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
   WHERE l.locktype = 'relation' AND l.pid = pg_backend_pid()
  ON CONFLICT DO NOTHING
$$;
CREATE FUNCTION {SCHEMA}.recorded() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
  BEGIN PERFORM {SCHEMA}.note('record'); RETURN NULL; END
$$;
CREATE FUNCTION {SCHEMA}.commanded() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog AS $$
  BEGIN
    -- DDL of Gradual itself belongs to no migration.
    IF current_setting('application_name') = '{APPLICATION_NAME}' THEN PERFORM {SCHEMA}.note('command'); END IF;
  END
$$;
CREATE PROCEDURE {SCHEMA}.watch(name text) LANGUAGE plpgsql AS $$
  BEGIN
    LOOP
      INSERT INTO {SCHEMA}.seen
      SELECT l.relation, l.mode, 'watch', 0, 0 FROM pg_stat_activity a JOIN pg_locks l USING (pid)
       WHERE a.application_name = name AND a.datname = current_database() AND l.locktype = 'relation'
      ON CONFLICT DO NOTHING;
      COMMIT;
      PERFORM pg_sleep(0.002);
      COMMIT;
    END LOOP;
  END
$$;
CREATE EVENT TRIGGER {SCHEMA}_commanded ON ddl_command_end EXECUTE FUNCTION {SCHEMA}.commanded()
"""
_KNOWN = f"""
INSERT INTO {SCHEMA}.known SELECT c.oid, format('%%I.%%I', n.nspname, c.relname), pg_relation_filenode(c.oid)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'gradual', %s)
   AND c.relname <> ALL(%s)
"""
_RECORDS = """
SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND c.relname = ANY(%s)
   AND (c.relname = 'changes') = (n.nspname = 'sqitch')
"""


class LockRecorder:
    """Call `begin` before a revision and `result` after it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        session.run(_SETUP)

    def begin(self) -> None:
        """Note the existing tables, put the trigger on the tool's table, and delete earlier records."""
        self.session.run(f"TRUNCATE {SCHEMA}.known")
        self.session.run(_KNOWN, (SCHEMA, list(TABLES)))
        for names in self.session.rows(_RECORDS, (list(TABLES),)):
            table = quote(*names)
            self.session.run(f"DROP TRIGGER IF EXISTS zzz_gradual_rehearsal ON {table}")
            self.session.run(
                f"CREATE TRIGGER zzz_gradual_rehearsal AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH STATEMENT"
                f" EXECUTE FUNCTION {SCHEMA}.recorded()"
            )
        self.session.run(f"TRUNCATE {SCHEMA}.seen")

    def result(self, whole: bool) -> dict[str, Any]:
        """{"locks": [{table, mode}], "exact": bool, "rewrote": [table], "held_seconds": float | None}.

        locks: the strongest one on each table. whole: the revision is one transaction. held_seconds: the transaction's
        age when it wrote its revision, just before the commit.
        """
        rows = self.session.rows(
            f"SELECT k.name, s.mode, s.source, s.transaction, s.seconds::float8 FROM {SCHEMA}.seen s LEFT JOIN"
            f" {SCHEMA}.known k USING (relation)"
        )
        rewrote = self.session.rows(
            f"SELECT name FROM {SCHEMA}.known WHERE EXISTS (SELECT FROM pg_class WHERE oid = relation) AND"
            " pg_relation_filenode(relation) IS DISTINCT FROM filenode ORDER BY 1"
        )
        told = whole and exact(rows)
        return {
            "locks": strongest(rows),
            "exact": told,
            "rewrote": [row[0] for row in rewrote],
            "held_seconds": round(max(float(row[4]) for row in rows if row[2] == "record"), 3) if told else None,
        }


def strongest(rows: Sequence[Sequence[Any]]) -> list[dict[str, str]]:
    """The strongest mode on each table, strongest first. rows: (table or None for a new one, mode, …)."""
    found: dict[str, str] = {}
    for name, mode, *_rest in rows:
        if name is not None and mode in MODES and MODES.index(mode) >= MODES.index(found.get(name, MODES[0])):
            found[name] = mode
    return [
        {"table": name, "mode": found[name]} for name in sorted(found, key=lambda one: (-MODES.index(found[one]), one))
    ]


def exact(rows: Sequence[Sequence[Any]]) -> bool:
    """Whether one transaction did all of it and recorded its locks at its end, and every other record agrees.

    rows: (name, mode, source, transaction, …). A polled record has no transaction, so it must not add a lock.
    """
    told = {row[3] for row in rows if row[2] == "record"}
    held = {(row[0], row[1]) for row in rows if row[2] == "record"}
    return len(told) == 1 and all(
        row[3] in told if row[2] == "command" else row[0] is None or (row[0], row[1]) in held for row in rows
    )


@contextlib.contextmanager
def watching(session: Session, psql: str, parameters: Mapping[str, str], run_as: str | None) -> Iterator[None]:
    """Poll the migrations' locks every 2 ms in a separate session while the block runs. run_as: needed as root only."""
    process = subprocess.Popen(
        [
            psql,
            "--no-psqlrc",
            "--quiet",
            "--no-password",
            "--dbname",
            conninfo(parameters),
            "--command",
            f"CALL {SCHEMA}.watch('{APPLICATION_NAME}')",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
        preexec_fn=die_with_parent,  # noqa: PLW1509
        env={**clean_environment(), "PGAPPNAME": NAME},
        **credentials(run_as),
    )
    try:
        _wait_until_watched(session, process)
        yield
        if process.poll() is not None:
            raise DatabaseError(f"the session that polls the locks of migrations ended: {_words(process)}")
    finally:
        process.kill()
        process.communicate()


def _wait_until_watched(session: Session, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 20
    while not session.value(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = %s AND query LIKE 'CALL %%')", (NAME,)
    ):
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            raise DatabaseError(f"the session that polls the locks of migrations did not start: {_words(process)}")
        time.sleep(0.02)


def _words(process: subprocess.Popen[bytes]) -> str:
    return (
        " ".join(process.communicate()[1].decode(errors="replace").split())
        or f"psql ended with status {process.returncode}"
    )
