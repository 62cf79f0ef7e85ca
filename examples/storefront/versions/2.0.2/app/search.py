"""The feature `search`: products by the words in their names and descriptions, best first."""

from __future__ import annotations

from queue import Empty, SimpleQueue

from .database import Database, Row

SPELLING: SimpleQueue[str] = SimpleQueue()
"""Answers of the spelling service."""
PATIENCE = 1.0


def corrected(words: str) -> str:
    """The words as the spelling service writes them, or as they are if it does not answer."""
    try:
        return SPELLING.get(timeout=PATIENCE)
    except Empty:
        return words


def by_words(database: Database, words: str, columns: str, most: int) -> list[Row]:
    """Products that have all the words, in any form ("leaves" finds "leaf"); names weigh more than descriptions."""
    return database.rows(
        f"""SELECT {columns} FROM products, websearch_to_tsquery('english', %s) AS asked
            WHERE search_words @@ asked ORDER BY ts_rank(search_words, asked) DESC, sku LIMIT {most}""",
        (corrected(words),),
    )
