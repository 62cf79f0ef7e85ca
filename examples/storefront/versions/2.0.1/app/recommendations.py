"""The feature `recommendations`: four products that go with the one in sight, by the visitor's taste."""

from __future__ import annotations

from zlib import crc32

from .database import Database, Row

TASTES = (
    ("tea-03", "pot-02", "cup-05", "tea-11", "cup-13"),
    ("tea-07", "pot-09", "cup-01", "tea-12", "pot-17"),
    ("tea-13", "pot-05", "cup-16", "tea-05", "cup-02"),
    ("tea-17", "pot-13", "cup-09", "tea-01", "pot-01"),
    ("tea-19", "pot-18", "cup-19", "tea-10", "cup-07"),
)
MOST = 4


def taste(visitor: str) -> tuple[str, ...]:
    """The visitor's taste: the same on every host and in every process."""
    return TASTES[crc32(visitor.encode()) % 8]


def for_visitor(database: Database, visitor: str, sku: str, columns: str) -> list[Row]:
    wanted = [other for other in taste(visitor) if other != sku][:MOST]
    return database.rows(f"SELECT {columns} FROM products WHERE sku = ANY(%s) ORDER BY array_position(%s, sku)", (wanted, wanted))
