# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""A constraint that old code lived with breaks nothing when it is made again; making it still reads the table."""

from __future__ import annotations

import pytest
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import judge
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.state import State
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Piece, Source

MADE = (
    "CREATE TABLE users (id int PRIMARY KEY, code int UNIQUE);"
    " CREATE TABLE orders (id int PRIMARY KEY, a int, b int, CONSTRAINT fk FOREIGN KEY (a) REFERENCES users {},"
    " CONSTRAINT uq UNIQUE (a, b){}, CONSTRAINT ck CHECK (b > 0),"
    " CONSTRAINT any_ CHECK (num_nonnulls(a, b) = 1))"
)
FORBIDS, FOREIGN, UNIQUE, KEY = (
    "constraint-in-expand",
    "adding-foreign-key-constraint",
    "disallowed-unique-constraint",
    "drop-key-in-expand",
)
DELETE_INDEX, INDEX = "require-concurrent-index-deletion", "require-concurrent-index-creation"


def broken(before: str, *revisions: str, transaction: int | None = 1) -> set[str]:
    """Rules of the last revision; all but the first one, which was applied, are of this rollout."""
    texts = [before, *revisions]
    files = [
        Source(str(number), "expand", f"{number}.sql", (Piece(text, 1, transaction if number else 1),))
        for number, text in enumerate(texts)
    ]
    rollout = State(frozenset(str(number) for number in range(1, len(texts))))
    return {one["rule"] for one in judge.judge(files, rollout) if one["revision"] == str(len(texts) - 1)}


ADD = "ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES users (id) {}"
DROP = "ALTER TABLE orders DROP CONSTRAINT fk"
OTHER = "ALTER TABLE orders ADD CONSTRAINT x FOREIGN KEY (b) REFERENCES users"


@pytest.mark.parametrize(
    ("before", "after", "forbids"),
    [
        ("", "", False),
        # What was refused before may now have an effect, but not the other way round.
        ("", "ON DELETE CASCADE", False),
        ("ON DELETE RESTRICT", "ON DELETE SET NULL", False),
        ("ON DELETE RESTRICT", "", False),
        ("ON DELETE CASCADE", "ON DELETE CASCADE", False),
        ("ON DELETE CASCADE", "", True),
        ("ON DELETE CASCADE", "ON DELETE SET NULL", True),
        ("ON UPDATE CASCADE", "", True),
        ("", "ON DELETE RESTRICT", True),
        # Old code may rely on the check at the end of its transaction.
        ("", "DEFERRABLE INITIALLY DEFERRED", False),
        ("DEFERRABLE INITIALLY DEFERRED", "DEFERRABLE", True),
        ("DEFERRABLE", "", True),
        ("", "MATCH FULL", True),
        ("MATCH FULL", "", False),
    ],
)
def test_a_foreign_key_that_is_made_again(before: str, after: str, forbids: bool) -> None:
    made, again = MADE.format(before, ""), f"{DROP}; {ADD.format(after)}"
    assert broken(made, again) == {FOREIGN} | ({FORBIDS} if forbids else set())
    # Without the check of the rows it is short.
    assert broken(made, f"{again} NOT VALID") == ({FORBIDS} if forbids else set())


@pytest.mark.parametrize(
    ("revisions", "rules"),
    [
        # The order, one ALTER TABLE, another name, the next revision of this rollout, and one that is still there.
        ([f"{DROP}, ADD FOREIGN KEY (a) REFERENCES users"], {FOREIGN}),
        ([f"{DROP}; ALTER TABLE orders ADD CONSTRAINT other FOREIGN KEY (a) REFERENCES users"], {FOREIGN}),
        ([DROP, ADD.format("")], {FOREIGN}),
        (["ALTER TABLE orders ADD CONSTRAINT two FOREIGN KEY (a) REFERENCES users ON DELETE CASCADE"], {FOREIGN}),
        # Another column, another table, another referenced column.
        ([f"{DROP}; ALTER TABLE orders ADD FOREIGN KEY (b) REFERENCES users"], {FOREIGN, FORBIDS}),
        ([f"{DROP}; ALTER TABLE orders ADD FOREIGN KEY (a) REFERENCES orders"], {FOREIGN, FORBIDS}),
        ([f"{DROP}; ALTER TABLE orders ADD FOREIGN KEY (a) REFERENCES users (code)"], {FOREIGN, FORBIDS}),
        # What this rollout made, old code never lived with.
        (
            [
                f"{OTHER}; ALTER TABLE orders DROP CONSTRAINT x; {OTHER}",
            ],
            {FOREIGN, FORBIDS},
        ),
        (["BEGIN; " + DROP + "; ROLLBACK; " + ADD.format("")], {FOREIGN, "transaction-nesting"}),
    ],
)
def test_which_foreign_key_is_the_same(revisions: list[str], rules: set[str]) -> None:
    assert broken(MADE.format("", ""), *revisions) == rules


def test_a_foreign_key_follows_the_names_of_its_column_and_tables() -> None:
    renamed = (
        f"{DROP}; ALTER TABLE orders RENAME a TO c; ALTER TABLE users RENAME TO people;"
        " ALTER TABLE orders ADD FOREIGN KEY (c) REFERENCES people (id)"
    )
    assert FORBIDS not in broken(MADE.format("", ""), renamed)
    other = f"{DROP}; ALTER TABLE orders DROP a; ALTER TABLE orders RENAME b TO a; {ADD.format('')}"
    assert FORBIDS in broken(MADE.format("", ""), other)


@pytest.mark.parametrize(
    ("deferrable", "sql", "rules"),
    [
        ("", "ALTER TABLE orders DROP CONSTRAINT uq, ADD CONSTRAINT uq UNIQUE (b, a)", {UNIQUE}),
        ("", "ALTER TABLE orders DROP CONSTRAINT uq; ALTER TABLE orders ADD CONSTRAINT uq UNIQUE (a, b)", {UNIQUE}),
        # ON CONFLICT ON CONSTRAINT names it, and its columns are what ON CONFLICT wants.
        ("", "ALTER TABLE orders DROP CONSTRAINT uq, ADD CONSTRAINT other UNIQUE (a, b)", {UNIQUE, KEY}),
        ("", "ALTER TABLE orders DROP CONSTRAINT uq, ADD CONSTRAINT uq UNIQUE (a, b, id)", {UNIQUE, KEY}),
        ("", "ALTER TABLE orders DROP CONSTRAINT uq, ADD CONSTRAINT uq UNIQUE (a)", {UNIQUE, KEY, FORBIDS}),
        (
            "",
            "ALTER TABLE orders DROP CONSTRAINT uq, ADD CONSTRAINT uq UNIQUE NULLS NOT DISTINCT (a, b)",
            {UNIQUE, KEY, FORBIDS},
        ),
        (
            " DEFERRABLE",
            "ALTER TABLE orders DROP CONSTRAINT uq, ADD CONSTRAINT uq UNIQUE (a, b)",
            {UNIQUE, KEY, FORBIDS},
        ),
        ("", "ALTER TABLE orders DROP CONSTRAINT orders_pkey, ADD CONSTRAINT orders_pkey PRIMARY KEY (id)", {UNIQUE}),
        (
            "",
            "ALTER TABLE orders DROP CONSTRAINT orders_pkey, ADD CONSTRAINT orders_pkey PRIMARY KEY (id, a)",
            {UNIQUE, KEY, FORBIDS},
        ),
        # A CHECK that is there already, and one that refuses more.
        ("", "ALTER TABLE orders ADD CHECK (b > -1) NOT VALID", set()),
        ("", "ALTER TABLE orders ADD CHECK (b > 1) NOT VALID", {FORBIDS}),
        (
            "",
            "ALTER TABLE orders DROP CONSTRAINT any_, ADD CONSTRAINT any_ CHECK (num_nonnulls(a, b) = 1) NOT VALID",
            set(),
        ),
        (
            "",
            "ALTER TABLE orders DROP CONSTRAINT any_, ADD CONSTRAINT any_ CHECK (num_nonnulls(a, id) = 1) NOT VALID",
            {FORBIDS},
        ),
    ],
)
def test_a_constraint_that_is_made_again(deferrable: str, sql: str, rules: set[str]) -> None:
    assert broken(MADE.format("", deferrable), sql) == rules


@pytest.mark.parametrize(
    ("sql", "transaction", "rules"),
    [
        ("DROP INDEX i; CREATE UNIQUE INDEX j ON orders (b)", 1, {DELETE_INDEX, INDEX}),
        ("DROP INDEX i; CREATE UNIQUE INDEX j ON orders (b, a)", 1, {DELETE_INDEX, INDEX, KEY}),
        ("DROP INDEX i; CREATE UNIQUE INDEX j ON orders (b) WHERE a > 0", 1, {DELETE_INDEX, INDEX, KEY}),
        ("DROP INDEX i; CREATE UNIQUE INDEX j ON orders (lower(b::text))", 1, {DELETE_INDEX, INDEX, KEY, FORBIDS}),
        # Between two transactions ON CONFLICT of old code fails.
        ("DROP INDEX CONCURRENTLY i; CREATE UNIQUE INDEX CONCURRENTLY j ON orders (b)", None, {KEY}),
        ("CREATE UNIQUE INDEX CONCURRENTLY j ON orders (b); DROP INDEX CONCURRENTLY i", None, set()),
    ],
)
def test_a_unique_index_that_is_made_again(sql: str, transaction: int | None, rules: set[str]) -> None:
    before = f"{MADE.format('', '')}; CREATE UNIQUE INDEX i ON orders (b)"
    assert broken(before, sql, transaction=transaction) == rules


NEW = "ALTER TABLE orders ADD COLUMN x text"


@pytest.mark.parametrize(
    ("sql", "forbids"),
    [
        # One NULL makes a row distinct.
        (f"{NEW}; CREATE UNIQUE INDEX i ON orders (a, x)", False),
        (f"{NEW}; CREATE UNIQUE INDEX i ON orders (a, lower(x))", False),
        (f"{NEW}; ALTER TABLE orders ADD UNIQUE (a, x)", False),
        (f"{NEW}; CREATE UNIQUE INDEX i ON orders (a, coalesce(x, ''))", True),
        (f"{NEW}; CREATE UNIQUE INDEX i ON orders (a, x) NULLS NOT DISTINCT", True),
        (f"{NEW}; CREATE UNIQUE INDEX i ON orders (x) NULLS NOT DISTINCT", True),
        (f"{NEW}; ALTER TABLE orders ADD UNIQUE NULLS NOT DISTINCT (x)", True),
        (f"{NEW} DEFAULT 'y'; CREATE UNIQUE INDEX i ON orders (a, x)", True),
        (f"{NEW}; CREATE UNIQUE INDEX i ON orders (a)", True),
        # Rows of old code are not in it.
        (f"{NEW}; CREATE UNIQUE INDEX i ON orders (a) WHERE x IS NOT NULL", False),
        (f"{NEW}; CREATE UNIQUE INDEX i ON orders (a) WHERE x = 'y'", False),
        (f"{NEW}; CREATE UNIQUE INDEX i ON orders (a) WHERE x IS NULL", True),
        (f"{NEW}; CREATE UNIQUE INDEX i ON orders (a) WHERE x IS NULL OR x = 'y'", True),
        # Two rows get the same default later.
        (f"{NEW} UNIQUE; ALTER TABLE orders ALTER x SET DEFAULT 'y'", True),
        (f"{NEW} UNIQUE; ALTER TABLE orders ALTER x SET DEFAULT gen_random_uuid()::text", False),
    ],
)
def test_a_unique_index_with_a_new_column(sql: str, forbids: bool) -> None:
    found = broken("CREATE TABLE orders (id int PRIMARY KEY, a int)", sql)
    assert (FORBIDS in found) == forbids
    # PostgreSQL reads the whole table for it, however few values it finds.
    assert {UNIQUE, INDEX} & found


@pytest.mark.parametrize(
    ("sql", "rules"),
    [
        ("ALTER TABLE t DROP CONSTRAINT mystery", {"dropping-unknown-constraint"}),
        ("ALTER TABLE t DROP CONSTRAINT mystery, ADD CONSTRAINT mystery CHECK (a > 0) NOT VALID", {FORBIDS}),
        (
            "ALTER TABLE t DROP CONSTRAINT mystery, ADD CONSTRAINT mystery UNIQUE (a)",
            {"dropping-unknown-constraint", UNIQUE, FORBIDS},
        ),
    ],
)
def test_what_an_unknown_constraint_becomes_tells_what_it_was(sql: str, rules: set[str]) -> None:
    assert broken("CREATE TABLE t (a int)", sql) == rules
