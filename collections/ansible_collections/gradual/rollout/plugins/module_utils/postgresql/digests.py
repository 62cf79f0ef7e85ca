# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""SQL that digests a table's rows whatever their order, cheap enough to run beside a dump without delaying it much."""

from __future__ import annotations

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session, quote

# One that no column has, else it would be taken for the column.
ALIAS = "gradual whole row"
# Anything but 0, the hash of NULL: some values, as NaN, hash to the seed.
_SEED = 21
# Types of which equal values have equal text, so that hashing the value sees all that its text would show. Not among
# them: numeric without a scale
# (1.0 = 1.00), float (0 = -0), interval (1 day = 24 hours), char (blanks at the end), enums and reg… (they hash their
# OID, which is another one after
# a restore). numeric(p, s) and varchar count. jsonb is here although it takes 1.0 for 1.00 too, as its text would cost
# more than all else together.
_BY_VALUE = (
    "bool",
    "bytea",
    "int2",
    "int4",
    "int8",
    "text",
    "varchar",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "uuid",
    "numeric",
    "jsonb",
)
_COLUMNS = """
SELECT a.attname::text, t.typname::text,
       t.typnamespace = 'pg_catalog'::regnamespace AND t.typname = ANY(%s)
         AND (t.typname <> 'numeric' OR a.atttypmod >= 4)
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
 WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum
"""


def of_text(expression: str) -> str:
    """count(*) and the sum of the first 64 bits of each row's MD5: the order of the rows does not matter, a row that is
    there twice counts twice."""
    return f"count(*), coalesce(sum(('x' || left(md5({expression}), 16))::bit(64)::bigint), 0)::text"


def of_rows(session: Session, schema: str, name: str) -> str:
    """What to select from that table, under the alias ALIAS, for (rows, digest).

    The digest is the sum of 64-bit hashes of the rows. Most types are hashed by value, which is much less work than an
    MD5 of the text; the others are
    hashed by what their output functions write. The hashes are the same on every server of one major version and byte
    order. Servers before 14 cannot
    hash rows so, and get the MD5.
    """
    if not session.value("SELECT to_regprocedure('pg_catalog.hash_record_extended(record, bigint)') IS NOT NULL"):
        return of_text(f'"{ALIAS}"::text')
    parts, others = [], []
    for column, kind, by_value in session.rows(_COLUMNS, (list(_BY_VALUE), quote(schema, name))):
        value = quote(ALIAS, column)
        if not by_value:
            others.append(value)
        elif kind in ("text", "varchar"):
            # By its bytes, whatever the collation takes for equal.
            parts.append(f'{value}::text COLLATE "C"')
        else:
            parts.append(value)
    if others:
        # As a row, whose text tells NULL from an empty string and is not made by a cast that somebody has defined.
        parts.append(f'ROW({", ".join(others)})::text COLLATE "C"')
    return f"count(*), coalesce(sum(hash_record_extended(ROW({', '.join(parts)}), {_SEED})), 0)::text"
