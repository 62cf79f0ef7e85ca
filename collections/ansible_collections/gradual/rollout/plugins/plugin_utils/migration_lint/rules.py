# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What migration_lint knows: each rule with the lock that is taken, why that hurts, and what to write instead.

Names are squawk's where squawk knows the rule. docs/migration-lint.md is made from this table. Locks are those of
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
    """level: error stops the rollout, warning is told. lock: what is held, for the documentation; a finding names the
    tables too."""

    level: str
    lock: str
    why: str
    instead: str


_OLD_CODE = "hosts with the previous release still use this schema"
_LATER = 'a revision with phase = "contract", which contract.yml runs when all hosts have the new release'

RULES: dict[str, Rule] = {
    # Held while a whole table is read or written.
    "require-concurrent-index-creation": Rule(
        ERROR,
        SHARE,
        "nobody can write to the table until the index is built",
        "CREATE INDEX CONCURRENTLY, in a revision of its own and outside a transaction",
    ),
    "require-concurrent-index-deletion": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "it waits for every reader of the table, and all other sessions queue behind it",
        "DROP INDEX CONCURRENTLY, outside a transaction",
    ),
    "reindex": Rule(
        ERROR,
        SHARE,
        "nobody can write to the table or use the index until it is built again",
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
        "the column without it, SET DEFAULT in a second statement, then a backfill",
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
        "SET NOT NULL reads the whole table while nobody can use it",
        "CHECK (column IS NOT NULL) NOT VALID, VALIDATE CONSTRAINT in the next revision, then SET NOT NULL, which"
        " trusts the check",
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
        "the lock of ADD CONSTRAINT is kept until the end of the transaction, so the rows are checked under that lock",
        "VALIDATE CONSTRAINT in a revision of its own",
    ),
    "disallowed-unique-constraint": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "the index behind it is built while nobody can use the table",
        "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … USING INDEX",
    ),
    "exclusion-constraint": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "its index is built while nobody can use the table, and there is no other way to add one",
        "a new table that has it, filled by a backfill; or a window in which nobody uses the table",
    ),
    "whole-table-update": Rule(
        ERROR,
        ROW_EXCLUSIVE,
        "every row is locked until the end, each is written once more, and replicas fall behind",
        "an entry of migrations.backfills in the manifest, which goes in batches",
    ),
    "whole-table-delete": Rule(
        ERROR,
        ROW_EXCLUSIVE,
        "every row is locked until the end, replicas fall behind, and it cannot be undone",
        'batches by key, in a revision with phase = "contract"',
    ),
    "insert-from-select": Rule(
        WARNING,
        ROW_EXCLUSIVE,
        "it is one transaction, however long it takes to read the rows",
        "an entry of migrations.backfills in the manifest, where the source is large",
    ),
    "truncate": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "the rows are gone, for the previous release too",
        'DROP TABLE in contract; or a revision with phase = "contract" and a waiver that says why the rows are not'
        " needed",
    ),
    "vacuum-full": Rule(
        ERROR, ACCESS_EXCLUSIVE, "the table is rewritten while nobody can read it", "plain VACUUM, or pg_repack"
    ),
    "cluster": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "the table is rewritten while nobody can read it",
        "pg_repack, or use an index for the order",
    ),
    "set-logged": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "the table is rewritten while nobody can read it; unlogged, it is empty after a crash and on replicas",
        "a new table of the wanted kind, filled by a backfill",
    ),
    "rewrite-table": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "the table is rewritten while nobody can read it",
        "a new table of the wanted kind, filled by a backfill",
    ),
    "refresh-materialized-view": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "nobody can read the view until it is computed",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY, which needs a unique index on it",
    ),
    "attach-partition": Rule(
        WARNING,
        ACCESS_EXCLUSIVE,
        "all rows of the new partition are read unless a validated CHECK says the same as its bounds; the default"
        " partition is read as well",
        "a CHECK of the bounds on it, NOT VALID and then VALIDATE, before ATTACH",
    ),
    "require-concurrent-partition-detach": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "nobody can read the partitioned table meanwhile, and old code does not find the rows",
        "DETACH PARTITION … CONCURRENTLY in contract",
    ),
    "create-partition-of": Rule(
        WARNING,
        ACCESS_EXCLUSIVE,
        "the partitioned table is locked for everybody, for a short time",
        "CREATE TABLE … (LIKE parent INCLUDING ALL), then ATTACH PARTITION",
    ),
    "alter-type": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        "every table with the type is locked, and is rewritten where a part of the type changes",
        "a new type and a new column, filled by a backfill",
    ),
    "ban-alter-domain-with-add-constraint": Rule(
        ERROR,
        SHARE,
        "every table with the domain is read while nobody can write to it",
        "ADD CONSTRAINT … NOT VALID, and ALTER DOMAIN … VALIDATE CONSTRAINT in the next revision",
    ),
    # Locks that are asked for, or that last.
    "lock-table": Rule(
        ERROR,
        "the mode that it names",
        "the lock is kept until the end of the transaction",
        "the statement itself takes what it needs; leave LOCK out",
    ),
    "create-trigger": Rule(
        WARNING,
        SHARE_ROW,
        "writers wait for a moment, and from then on every write of old and new code runs it",
        "keep it as short as a few assignments; try it under load first",
    ),
    "disable-trigger": Rule(
        ERROR,
        SHARE_ROW,
        "writes of old and new code skip it, foreign keys included",
        "leave triggers on; a backfill that must not fire them can say so in its condition",
    ),
    "create-rule": Rule(
        ERROR, ACCESS_EXCLUSIVE, "from then on statements of old code mean something else", "a trigger, or code"
    ),
    "reference-to-live-table": Rule(
        WARNING,
        SHARE_ROW,
        "writers of the referenced table wait for a moment once it gets its lock",
        "keep it; it is quick, since there are no rows to look up. Give it a revision of its own",
    ),
    "cluster-wide": Rule(
        ERROR,
        "not on a table",
        "it changes more than this database, and a backup of this database does not undo that",
        "provisioning (the role database_host), or the administrator of the server",
    ),
    # Where a statement stands.
    "ban-concurrent-index-creation-in-transaction": Rule(
        ERROR,
        "none: it fails",
        "PostgreSQL refuses CONCURRENTLY inside a transaction",
        "op.get_context().autocommit_block() around it, atomic = False in Django, or a file that begins no transaction",
    ),
    "concurrently-not-alone": Rule(
        WARNING,
        SHARE_UPDATE,
        "such a revision is run again from its beginning after an interruption, and the other statements with it",
        "a revision of its own; or IF NOT EXISTS in all the others",
    ),
    "transaction-nesting": Rule(
        WARNING,
        "none",
        "the tool that runs the revision already begins and ends its transaction",
        "leave BEGIN and COMMIT out",
    ),
    "own-timeouts": Rule(
        WARNING,
        "none",
        "Gradual sets lock_timeout and statement_timeout of each attempt, and this overrides them",
        "leave it out; migrate_lock_timeout_milliseconds is for all",
    ),
    # What old code cannot work with, in a revision that says phase = "expand".
    "drop-in-expand": Rule(ERROR, ACCESS_EXCLUSIVE, f"{_OLD_CODE}, and it cannot be undone", _LATER),
    "rename-in-expand": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        f"{_OLD_CODE} and ask for the old name",
        "a new column or a view of the old name; rename in contract",
    ),
    "constraint-in-expand": Rule(ERROR, SHARE_ROW, f"{_OLD_CODE} and may write what it forbids", _LATER),
    "adding-required-field": Rule(
        ERROR,
        ACCESS_EXCLUSIVE,
        f"it fails where there are rows, and {_OLD_CODE} and insert without it",
        "the column with a DEFAULT, or nullable",
    ),
    "not-null-in-expand": Rule(ERROR, ACCESS_EXCLUSIVE, f"{_OLD_CODE} and may write NULL", _LATER),
    "ban-drop-not-null": Rule(
        WARNING,
        ACCESS_EXCLUSIVE,
        f"{_OLD_CODE} and may meet NULL where there was none",
        "make sure that the previous release can read it",
    ),
    "replace-in-expand": Rule(
        WARNING,
        "none",
        f"{_OLD_CODE} and call the new one from then on",
        "a function or view of another name, which the new code uses",
    ),
    "drop-default-in-expand": Rule(ERROR, ACCESS_EXCLUSIVE, f"{_OLD_CODE} and insert without the column", _LATER),
    "revoke-in-expand": Rule(ERROR, "none", f"{_OLD_CODE} and lose the right", _LATER),
    "row-security-in-expand": Rule(ERROR, ACCESS_EXCLUSIVE, f"{_OLD_CODE} and may see or write fewer rows", _LATER),
    # What was not seen is no pass.
    "phase-missing": Rule(
        ERROR,
        "not known",
        "unknown counts as contract, and deploy.yml would stop there after the backup",
        'phase = "expand", "data" or "contract" in the file (in SQL: -- gradual: phase=expand)',
    ),
    "unseen": Rule(
        ERROR,
        "not known",
        "what this does could not be read on the controller",
        "SQL as text in op.execute or a file; or let somebody read it, and waive this finding with the reason",
    ),
    "dynamic-sql": Rule(
        ERROR,
        "not known",
        "the statement is built while it runs, so nobody can read it before",
        "the statement itself, written out",
    ),
    "calls-function": Rule(
        WARNING, "not known", "what the function does was not checked", "the statements themselves, written out"
    ),
    "asks-database": Rule(
        WARNING,
        "as listed for its statements",
        "it queries the database and continues depending on the answer; each statement in the file was judged, but not"
        " how often and in which order they run",
        "check its loops: each round must be short and must end",
    ),
}

# Squawk's rules and the rule here that says the same. None: it is about style, or about what Gradual does by itself
# (timeouts).
# A rule of a newer squawk that is not in this table is told as a warning, with squawk's own words.
SQUAWK: dict[str, str | None] = {
    **{name: name for name in RULES},
    **dict.fromkeys(
        (
            "prefer-bigint-over-int",
            "prefer-bigint-over-smallint",
            "prefer-identity",
            "prefer-robust-stmts",
            "prefer-text-field",
            "prefer-timestamp-tz",
            "prefer-repack",
            "ban-char-field",
            "identifier-too-long",
            "unused-ignore",
            "require-timeout-settings",
            "require-lock-timeout",
            "require-statement-timeout",
            "require-table-schema",
            "require-enum-value-ordering",
            "ban-uncommitted-transaction",
            "ban-create-domain-with-constraint",
            "ban-drop-index",
            "ban-set-default",
            "ban-add-enum-value",
            "ban-add-column",
        )
    ),
    **dict.fromkeys(
        (
            "ban-drop-column",
            "ban-drop-table",
            "ban-drop-view",
            "ban-drop-function",
            "ban-drop-type",
            "ban-drop-schema",
            "ban-drop-sequence",
            "ban-drop-domain",
            "ban-drop-extension",
            "ban-drop-constraint",
            "ban-drop-policy",
            "ban-drop-generated-expression",
            "ban-detach-inheritance",
        ),
        "drop-in-expand",
    ),
    **dict.fromkeys(("renaming-column", "renaming-table", "renaming-object", "ban-set-schema"), "rename-in-expand"),
    **dict.fromkeys(
        ("ban-create-policy", "ban-alter-policy-condition", "ban-alter-policy-roles", "ban-alter-row-level-security"),
        "row-security-in-expand",
    ),
    **dict.fromkeys(
        ("ban-drop-database", "ban-alter-role-options", "ban-alter-database-options", "ban-alter-system-options"),
        "cluster-wide",
    ),
    "ban-truncate-cascade": "truncate",
    "require-concurrent-reindex": "reindex",
    "ban-drop-default": "drop-default-in-expand",
    "ban-replace-view-function": "replace-in-expand",
    "ban-disable-trigger": "disable-trigger",
    "ban-revoke": "revoke-in-expand",
    "ban-add-composite-attribute": "alter-type",
}
EXPAND_ONLY = frozenset(
    (
        "drop-in-expand",
        "rename-in-expand",
        "constraint-in-expand",
        "not-null-in-expand",
        "ban-drop-not-null",
        "drop-default-in-expand",
        "revoke-in-expand",
        "replace-in-expand",
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
