"""Products: reading, searching, and what a merchant changes."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from .. import recommendations
from ..search import by_words
from ..web import Route, account, answer, body, number_field, on, parts, refuse, text_field

PAGE = 20
COLUMNS = "sku, name, price_cents"
Rows = list[dict[str, Any]]


def priced(rows: Rows) -> Rows:
    """The rows with the price as people read it; the column price_text is not read any more."""
    return [{**row, "price": f"€ {row['price_cents'] // 100}.{row['price_cents'] % 100:02d}"} for row in rows]


def products() -> Response:
    told = request.args.get("page", "1")
    if not told.isascii() or not told.isdecimal() or len(told) > 4 or int(told) < 1:
        refuse(400, "page must be a whole number from 1 on")
    rows = parts().database.rows(f"SELECT {COLUMNS} FROM products ORDER BY sku LIMIT {PAGE} OFFSET %s", ((int(told) - 1) * PAGE,))
    return answer({"products": priced(rows)})


def product(sku: str) -> Response:
    row = parts().database.row(f"SELECT {COLUMNS}, kind, description FROM products WHERE sku = %s", (sku,))
    if row is None:
        refuse(404, "there is no such product")
    others = recommendations.for_visitor(parts().database, parts().gradual.user(), sku, COLUMNS) if on("recommendations") else None
    return answer({"product": priced([row])[0], "recommendations": None if others is None else priced(others)})


def query() -> str:
    told = request.args.get("q", "").strip()
    if not 1 <= len(told) <= 80 or "\x00" in told:
        refuse(400, "q must be a text of 1 to 80 characters")
    return told


def search() -> Response:
    words = query()
    if on("search"):
        return answer({"found_by": "words", "products": priced(by_words(parts().database, words, COLUMNS, PAGE))})
    return answer({"found_by": "name", "products": priced(by_name(words, COLUMNS))})


def by_name(words: str, columns: str) -> Rows:
    """Products that have the words in their name, as they stand."""
    pattern = "%" + words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    return parts().database.rows(f"SELECT {columns} FROM products WHERE name ILIKE %s ORDER BY sku LIMIT {PAGE}", (pattern,))


def change(sku: str) -> Response:
    if not account().merchant:
        refuse(403, "only a merchant changes products")
    told = body()
    unknown = sorted(set(told) - {"name", "description", "price_cents"})
    if unknown or not told:
        refuse(422, f"name, description and price_cents can be changed{', not ' + unknown[0] if unknown else ''}")
    values: dict[str, object] = {}
    if "name" in told:
        values["name"] = text_field(told, "name", 80)
    if "description" in told:
        values["description"] = text_field(told, "description", 1000)
    if "price_cents" in told:
        values["price_cents"] = number_field(told, "price_cents", 10_000_000)
    assignments = ", ".join(f"{name} = %({name})s" for name in values)
    row = parts().database.row(
        f"UPDATE products SET {assignments} WHERE sku = %(sku)s RETURNING {COLUMNS}, kind, description", {**values, "sku": sku}
    )
    if row is None:
        refuse(404, "there is no such product")
    return answer({"product": priced([row])[0]})


ROUTES = (
    Route("/api/products", "GET", products, (200, 400), cache="public, max-age=30"),
    Route("/api/products/<sku>", "GET", product, (200, 404)),
    Route("/api/products/<sku>", "PUT", change, (200, 403, 404, 422), account=True, body=True),
    Route("/api/search", "GET", search, (200, 400)),
)
