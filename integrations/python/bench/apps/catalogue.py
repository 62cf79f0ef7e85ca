# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""Two thousand products in SQLite, and a search that reads them all: an ordinary page, about a millisecond of work."""

from __future__ import annotations

import sqlite3

DATABASE = sqlite3.connect(":memory:", check_same_thread=False)
DATABASE.execute("CREATE TABLE products (sku TEXT PRIMARY KEY, name TEXT, price INTEGER)")
DATABASE.executemany(
    "INSERT INTO products VALUES (?, ?, ?)",
    [(f"sku-{n}", f"{'tea' if n % 7 == 0 else 'cup'} number {n}", n) for n in range(2000)],
)


def search(word: str) -> list[dict[str, object]]:
    rows = DATABASE.execute(
        "SELECT sku, name, price FROM products WHERE name LIKE ? ORDER BY price LIMIT 20", (f"%{word}%",)
    )
    return [{"sku": sku, "name": name, "price": price} for sku, name, price in rows]
