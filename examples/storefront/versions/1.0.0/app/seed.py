"""The demo accounts: DEMO_PASSWORD=... DATABASE_URL=... ./seed (as the owner of the schema; again changes nothing but the password)."""

from __future__ import annotations

import os
import sys

import psycopg
from psycopg import sql

from .accounts import hash_password

SHOPPERS = 20


def main() -> str:
    """Return what was done, one sentence; exit with one where a setting is missing."""
    url, password = os.environ.get("DATABASE_URL", ""), os.environ.get("DEMO_PASSWORD", "")
    if not url:
        sys.exit("DATABASE_URL is not set: give the address of the database, e.g. DATABASE_URL=postgresql:///storefront")
    if len(password) < 12:
        sys.exit(f"DEMO_PASSWORD has {len(password)} characters; the demo accounts need 12 or more")
    accounts = [(f"shopper-{number:02d}@example.org", f"Shopper {number}", False) for number in range(1, SHOPPERS + 1)]
    accounts.append(("merchant@example.org", "Merchant", True))
    hashed = hash_password(password)
    with psycopg.connect(url) as connection:
        if role := os.environ.get("MIGRATION_ROLE"):
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        connection.cursor().executemany(
            """INSERT INTO accounts (email, name, merchant, password) VALUES (%s, %s, %s, %s)
               ON CONFLICT (email) DO UPDATE SET password = excluded.password, merchant = excluded.merchant""",
            [(*account, hashed) for account in accounts],
        )
    return f"{len(accounts)} demo accounts are there"


if __name__ == "__main__":
    print(main())
