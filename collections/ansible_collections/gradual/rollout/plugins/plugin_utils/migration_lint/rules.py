# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rules of migration_lint: the lock that each takes, why it is a problem, and what to write instead.

Names are squawk's where squawk knows the rule. docs/migration-lint.md is generated from this table. Locks are those of
https://www.postgresql.org/docs/current/explicit-locking.html and of each command's own page.
"""

from __future__ import annotations

from dataclasses import dataclass

ERROR, WARNING = "error", "warning"
# Short names of lock modes, as PostgreSQL's pg_locks has them.
SHARE, SHARE_ROW, EXCLUSIVE, ACCESS_EXCLUSIVE = (
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
SHARE_UPDATE, ROW_EXCLUSIVE = "ShareUpdateExclusiveLock", "RowExclusiveLock"


@dataclass(frozen=True)
class Rule:
    """level: an error stops the rollout, a warning is only shown. lock: for the documentation; findings name tables
    too.
    """

    level: str
    lock: str
    why: str
    instead: str


_OLD_CODE = "hosts with the previous release still use this schema"
_LATER = 'a revision with phase = "contract", which contract.yml applies when all hosts run the new release'

RULES: dict[str, Rule] = {
    # Held while a whole table is read or written.
    "require-concurrent-index-creation": Rule(
        ERROR,
        SHARE,
        "nobody can write to the table until the index is built",
        "CREATE INDEX CONCURRENTLY, in a separate revision and outside a transaction",
    ),
    "require-concurrent-index-deletion": Rule(
        WARNING,
        ACCESS_EXCLUSIVE,
        "it waits for every reader of the table, and all other sessions queue behind it until the lock timeout; old"
        " code may need the index",
        "DROP INDEX CONCURRENTLY, outside a transaction",
    ),
    "reindex": Rule(
        ERROR,
        SHARE,
        "nobody can write to the table or use the index until it is rebuilt",
        "REINDEX … CONCURRENTLY, outside a transaction",
    ),
    "changing-column-type": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "the table is rewritten while nobody can read it, and old code gets another type",
        "a new column, filled by a backfill, and drop the old one in contract",
    ),
    "adding-field-with-default": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "the default differs for each row (or is computed and stored), so the table is rewritten",
        "the column without a default, SET DEFAULT in a second statement, then a backfill",
    ),
    "adding-domain-field": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "the domain has a constraint, so the table is rewritten to check each row, whatever the default",
        "the domain's base type, and its constraint as CHECK … NOT VALID, VALIDATE CONSTRAINT in the next revision",
    ),
    "unknown-type": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "no revision of the release creates this type; if it is a domain with a constraint, the table is rewritten",
        "a type of PostgreSQL; or review the type, and write a waiver that says that it is no domain with a constraint",
    ),
    "adding-serial-primary-key-field": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "the table is rewritten and an index is built while nobody can read it",
        "a nullable column, a backfill, a unique index CONCURRENTLY, then PRIMARY KEY USING INDEX in contract",
    ),
    "adding-not-nullable-field": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "NOT NULL (of SET NOT NULL or PRIMARY KEY) reads the whole table while nobody can use it",
        "CHECK (column IS NOT NULL) NOT VALID, VALIDATE CONSTRAINT in the next revision, then SET NOT NULL, which uses"
        " the check instead of a scan; then PRIMARY KEY USING INDEX",
    ),
    "constraint-missing-not-valid": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "all rows are checked while nobody can use the table",
        "ADD CONSTRAINT … NOT VALID, and VALIDATE CONSTRAINT in the next revision",
    ),
    "adding-foreign-key-constraint": Rule(
        ERROR,
        SHARE_ROW,
        "all rows are looked up while nobody can write to either table",
        "ADD CONSTRAINT … NOT VALID, and VALIDATE CONSTRAINT in the next revision",
    ),
    "validate-in-same-transaction": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "ADD CONSTRAINT keeps its lock until the end of the transaction, so all rows are checked under that lock",
        "VALIDATE CONSTRAINT in a separate revision",
    ),
    "disallowed-unique-constraint": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "its index is built while nobody can use the table",
        "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … USING INDEX",
    ),
    "exclusion-constraint": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "its index is built while nobody can use the table; PostgreSQL has no other way to add one",
        "a new table with the constraint, filled by a backfill; or a maintenance window",
    ),
    "whole-table-update": Rule(
        ERROR,
        ROW_EXCLUSIVE,
        "every row is locked until the end, and by UPDATE rewritten, so that replicas fall behind",
        "an entry of migrations.backfills in the manifest, which runs in batches",
    ),
    "whole-table-delete": Rule(
        ERROR,
        ROW_EXCLUSIVE,
        "every row is locked until the end, replicas fall behind, and it cannot be undone",
        'batches by key, in a revision with phase = "contract"',
    ),
    "rows-under-lock": Rule(
        ERROR,
        "the one that the transaction holds",
        "it may read or write the whole table, and until it ends the transaction holds a lock that makes others wait",
        "ALTER TABLE in its own revision; rows in an entry of migrations.backfills in the manifest, VALIDATE CONSTRAINT"
        " in the next revision",
    ),
    "unbounded-write": Rule(
        WARNING,
        ROW_EXCLUSIVE,
        "its condition is no key, so it may select most rows, which stay locked until the end",
        "an entry of migrations.backfills in the manifest, which runs in batches",
    ),
    "insert-from-select": Rule(
        WARNING,
        ROW_EXCLUSIVE,
        "it is one transaction, however many rows it reads",
        "an entry of migrations.backfills in the manifest, if the source is large",
    ),
    "truncate": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "the rows are gone, for the previous release too",
        'DROP TABLE in contract; or a revision with phase = "contract" and a waiver that says why nobody needs the'
        " rows",
    ),
    "vacuum-full": Rule(
        ERROR, ACCESS_EXCLUSIVE, "the table is rewritten while nobody can read it", "plain VACUUM, or pg_repack"
    ),
    "cluster": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "the table is rewritten while nobody can read it",
        "pg_repack, or an index in that order",
    ),
    "set-logged": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "the table is rewritten while nobody can read it; an unlogged one is empty after a crash and on replicas",
        "a new table of that kind, filled by a backfill",
    ),
    "rewrite-table": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "the table is rewritten while nobody can read it",
        "a new table of that kind, filled by a backfill",
    ),
    "refresh-materialized-view": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "nobody can read the view until it is computed",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY, which needs a unique index on it",
    ),
    "attach-partition": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "all rows of the new partition are read while nobody can use it, unless a validated CHECK has the same bounds",
        "a CHECK with its bounds, NOT VALID and then VALIDATE, before ATTACH",
    ),
    "require-concurrent-partition-detach": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "nobody can read the partitioned table meanwhile, and old code no longer finds the rows",
        "DETACH PARTITION … CONCURRENTLY in contract",
    ),
    "create-partition-of": Rule(
        WARNING,
        ACCESS_EXCLUSIVE,
        "CREATE TABLE … PARTITION OF locks the partitioned table for a moment, and a default partition is read whole,"
        " by ATTACH PARTITION too",
        "CREATE TABLE … (LIKE parent INCLUDING ALL), then ATTACH PARTITION; on the default partition, a validated CHECK"
        " that excludes the new bounds",
    ),
    "alter-type": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "every table with the type is locked, and rewritten if a part of the type changes",
        "a new type and a new column, filled by a backfill",
    ),
    "ban-alter-domain-with-add-constraint": Rule(
        ERROR,
        SHARE,
        "every table with the domain is read while nobody can write to it, by VALIDATE CONSTRAINT too",
        "ADD CONSTRAINT … NOT VALID, which new rows must satisfy; for the old ones, a CHECK of each table, NOT VALID"
        " and then VALIDATE",
    ),
    # Explicit locks, and lasting effects.
    "lock-table": Rule(
        WARNING,
        "the named mode",
        "the lock is kept until the end of the transaction",
        "remove LOCK; each statement takes the locks that it needs",
    ),
    "create-trigger": Rule(
        WARNING,
        SHARE_ROW,
        "writers wait for a moment, and every later write of old and new code runs it",
        "keep it to a few assignments, and test it under load first",
    ),
    "disable-trigger": Rule(
        ERROR,
        SHARE_ROW,
        "old and new code write without it, and without foreign keys",
        "keep triggers enabled; a backfill that must not fire them can exclude rows in its condition",
    ),
    "create-rule": Rule(ERROR, ACCESS_EXCLUSIVE, "statements of old code then do something else", "a trigger, or code"),
    "reference-to-live-table": Rule(
        WARNING,
        SHARE_ROW,
        "writers of the referenced table wait for a moment",
        "keep it, in a separate revision; it is quick, because there are no rows to check",
    ),
    "cluster-wide": Rule(
        ERROR,
        "not on a table",
        "it changes more than this database, so the database's backup cannot restore it",
        "do it in provisioning: the role database_host, or the server's administrator",
    ),
    # The place of a statement in its revision.
    "postgresql-refuses": Rule(
        ERROR,
        "none: it fails",
        "PostgreSQL refuses it, and the revision fails",
        "what the reason says; try the revision on a copy of the database",
    ),
    "ban-concurrent-index-creation-in-transaction": Rule(
        ERROR,
        "none: it fails",
        "PostgreSQL refuses CONCURRENTLY inside a transaction",
        "op.get_context().autocommit_block() around it, atomic = False in Django, or a file that begins no transaction",
    ),
    "concurrently-not-alone": Rule(
        WARNING,
        SHARE_UPDATE,
        "after an interruption such a revision is run again from its beginning, with all its other statements",
        "a separate revision, or IF NOT EXISTS in all other statements",
    ),
    "concurrently-on-partitioned": Rule(
        ERROR,
        "none: it fails",
        "PostgreSQL refuses CONCURRENTLY on a partitioned table",
        "CREATE INDEX … ON ONLY the partitioned table, CREATE INDEX CONCURRENTLY on each partition, then ALTER INDEX …"
        " ATTACH PARTITION",
    ),
    "index-name": Rule(
        WARNING,
        SHARE_UPDATE,
        "if it fails, an invalid index stays, which a UNIQUE one still enforces for old code; without a name of its own"
        " (63 bytes at most) it is hard to find, and the next attempt makes another one",
        "CREATE INDEX CONCURRENTLY with a name of at most 63 bytes",
    ),
    "enum-value-in-same-transaction": Rule(
        ERROR,
        "none: it fails",
        "PostgreSQL refuses to use a value of an enum type in the transaction that adds it",
        "ALTER TYPE … ADD VALUE in a separate revision",
    ),
    "transaction-nesting": Rule(
        WARNING,
        "none",
        "the migration tool begins and ends the transaction already",
        "remove BEGIN and COMMIT",
    ),
    "no-lock-timeout": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "lock_timeout is switched off, so that it waits for its lock without end, and all others queue behind it",
        "remove SET lock_timeout; Gradual sets one, and tries again",
    ),
    "several-tables": Rule(
        WARNING,
        ACCESS_EXCLUSIVE,
        "the transaction waits for a second table while nobody can use the first one; if old code takes them in the"
        " other order, that is a deadlock",
        "a separate revision for each table",
    ),
    "own-timeouts": Rule(
        WARNING,
        "none",
        "it overrides the lock_timeout and statement_timeout that Gradual sets for each attempt",
        "remove it; migrate_lock_timeout_milliseconds sets it for all revisions",
    ),
    # What old code cannot work with, in a revision with phase = "expand".
    "drop-in-expand": Rule(ERROR, ACCESS_EXCLUSIVE, f"{_OLD_CODE}, and it cannot be undone", _LATER),
    "rename-in-expand": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        f"{_OLD_CODE} and query the old name",
        "a new column or a view of the old name; rename in contract",
    ),
    "constraint-in-expand": Rule(ERROR, SHARE_ROW, f"{_OLD_CODE} and may write rows that it forbids", _LATER),
    "drop-key-in-expand": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        f"{_OLD_CODE}, and its INSERT … ON CONFLICT fails without the unique constraint or index",
        _LATER,
    ),
    "dropping-unknown-constraint": Rule(
        WARNING,
        ACCESS_EXCLUSIVE,
        f"{_OLD_CODE}; if the constraint is unique, its INSERT … ON CONFLICT fails (no revision that was read makes"
        " it)",
        "check that it is no unique constraint or primary key",
    ),
    "function-overload": Rule(
        ERROR,
        "none",
        f"{_OLD_CODE}, and its calls of the function then fit two functions, which PostgreSQL refuses",
        "another name, or arguments without a default",
    ),
    "owner-in-expand": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        f"{_OLD_CODE} and may have its privileges as the owner",
        'GRANT to the new role now; OWNER TO in a revision with phase = "contract"',
    ),
    "sequence-restart": Rule(
        ERROR,
        "none",
        "the next rows may get values that exist already, and are refused or mixed up",
        "leave the sequence, or setval() to max() of the column",
    ),
    "adding-required-field": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        f"it fails if the table has rows, and {_OLD_CODE} and insert without it",
        "the column with a DEFAULT, or nullable",
    ),
    "not-null-in-expand": Rule(ERROR, ACCESS_EXCLUSIVE, f"{_OLD_CODE} and may write NULL", _LATER),
    "ban-drop-not-null": Rule(
        WARNING,
        ACCESS_EXCLUSIVE,
        f"{_OLD_CODE} and may read NULL where there was none",
        "check that the previous release can read NULL",
    ),
    "other-answers-in-expand": Rule(
        ERROR,
        "none",
        f"{_OLD_CODE}, and get other rows, values or errors",
        "another view, function or table, which the new code uses; or " + _LATER,
    ),
    "replace-in-expand": Rule(
        WARNING,
        "none",
        f"{_OLD_CODE} and then call the new version",
        "a function or view with another name, which the new code uses",
    ),
    "drop-default-in-expand": Rule(ERROR, ACCESS_EXCLUSIVE, f"{_OLD_CODE} and insert without the column", _LATER),
    "revoke-in-expand": Rule(ERROR, "none", f"{_OLD_CODE} and lose the privilege", _LATER),
    "row-security-in-expand": Rule(ERROR, ACCESS_EXCLUSIVE, f"{_OLD_CODE} and may see or write fewer rows", _LATER),
    # What could not be read does not pass.
    "phase-missing": Rule(
        ERROR,
        "not known",
        "it is treated as contract, and deploy.yml would stop there after the backup",
        'phase = "expand", "data" or "contract" in the file (in SQL: -- gradual: phase=expand)',
    ),
    "unseen": Rule(
        ERROR,
        "not known",
        "it could not be read on the controller",
        "SQL as text in op.execute or in a file; or review it, and write a waiver with the reason",
    ),
    "dynamic-sql": Rule(
        ERROR,
        "not known",
        "the statement is built at run time, so it cannot be read before",
        "the statement itself as text",
    ),
    "calls-function": Rule(WARNING, "not known", "the function's body was not read", "its statements as text"),
    "asks-database": Rule(
        WARNING,
        "as listed for its statements",
        "it queries the database and continues by the answer; each statement in the file was checked, but not how often"
        " and in which order it runs",
        "review its loops: each iteration must be short, and the loop must end",
    ),
}

EXPAND_ONLY = frozenset(
    (
        "drop-in-expand",
        "rename-in-expand",
        "drop-key-in-expand",
        "dropping-unknown-constraint",
        "owner-in-expand",
        "function-overload",
        "constraint-in-expand",
        "not-null-in-expand",
        "ban-drop-not-null",
        "drop-default-in-expand",
        "revoke-in-expand",
        "replace-in-expand",
        "other-answers-in-expand",
        "row-security-in-expand",
    )
)


def table() -> list[str]:
    """The rules as docs/migration-lint.md shows them."""
    head = ["| rule | level | lock | why | write instead |", "|---|---|---|---|---|"]
    expand = {name: " In phase expand only." if name in EXPAND_ONLY else "" for name in RULES}
    return head + [
        f"| `{name}` | {rule.level} | {rule.lock} | {rule.why}.{expand[name]} | {rule.instead} |"
        for name, rule in RULES.items()
    ]
