# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""SQL for an order-independent digest of a table's rows, cheap enough to run beside a dump."""

from __future__ import annotations

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.session import Session, quote

# A name that no column has, because a column would take precedence.
ALIAS = "gradual whole row"
# Not 0, which is the hash of NULL: some values, such as NaN, hash to the seed.
_SEED = 21
# Types whose equal values have equal text, so that hashing values finds every difference of their text. Not among them:
# numeric without a scale (1.0 = 1.00), float (0 = -0), interval (1 day = 24 hours), char (trailing blanks), enums and
# reg… types (they hash their OID, which changes with a restore). numeric(p, s) and varchar are. jsonb is too, although
# it treats 1.0 and 1.00 as equal, because hashing its text would cost more than all other types together.
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
    """count(*) and the sum of the first 64 bits of each row's MD5, which does not depend on the order of the rows."""
    return f"count(*), coalesce(sum(('x' || left(md5({expression}), 16))::bit(64)::bigint), 0)::text"


def of_rows(session: Session, schema: str, name: str) -> str:
    """The select list for (rows, digest) of that table under the alias ALIAS.

    The digest is the sum of 64-bit hashes of the rows. Most types are hashed by value, which costs much less than an
    MD5 of the text; the others by the text of their output functions. The hashes are the same on every server of one
    major version and byte order. Servers before 14 have no such hash, and use the MD5.
    """
    if not session.value("SELECT to_regprocedure('pg_catalog.hash_record_extended(record, bigint)') IS NOT NULL"):
        return of_text(f'"{ALIAS}"::text')
    parts, others = [], []
    for column, kind, by_value in session.rows(_COLUMNS, (list(_BY_VALUE), quote(schema, name))):
        value = quote(ALIAS, column)
        if not by_value:
            others.append(value)
        elif kind in ("text", "varchar"):
            # By its bytes, even if the collation treats other text as equal.
            parts.append(f'{value}::text COLLATE "C"')
        else:
            parts.append(value)
    if others:
        # As a row, whose text tells NULL from an empty string, and which no user-defined cast changes.
        parts.append(f'ROW({", ".join(others)})::text COLLATE "C"')
    return f"count(*), coalesce(sum(hash_record_extended(ROW({', '.join(parts)}), {_SEED})), 0)::text"
