"""The feature `search`: products by the words in their names and descriptions, best first."""

from __future__ import annotations

from .database import Database, Row


def by_words(database: Database, words: str, columns: str, most: int) -> list[Row]:
    """Products that have all the words, in any form ("leaves" finds "leaf"); names weigh more than descriptions."""
    return database.rows(
        f"""SELECT {columns} FROM products, websearch_to_tsquery('english', %s) AS asked
            WHERE search_words @@ asked ORDER BY ts_rank(search_words, asked) DESC, sku LIMIT {most}""",
        (words,),
    )
