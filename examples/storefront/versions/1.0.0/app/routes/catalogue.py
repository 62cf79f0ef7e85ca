"""Products: reading, searching, and what a merchant changes."""

from __future__ import annotations

from flask import Response, request

from ..web import Route, account, answer, body, number_field, parts, refuse, text_field

PAGE = 20
COLUMNS = "sku, name, price_cents, price_text AS price"


def price_text(cents: int) -> str:
    return f"€ {cents // 100}.{cents % 100:02d}"


def products() -> Response:
    told = request.args.get("page", "1")
    if not told.isascii() or not told.isdecimal() or len(told) > 4 or int(told) < 1:
        refuse(400, "page must be a whole number from 1 on")
    rows = parts().database.rows(f"SELECT {COLUMNS} FROM products ORDER BY sku LIMIT {PAGE} OFFSET %s", ((int(told) - 1) * PAGE,))
    return answer({"products": rows})


def product(sku: str) -> Response:
    row = parts().database.row(f"SELECT {COLUMNS}, kind, description FROM products WHERE sku = %s", (sku,))
    if row is None:
        refuse(404, "there is no such product")
    return answer({"product": row})


def query() -> str:
    told = request.args.get("q", "").strip()
    if not 1 <= len(told) <= 80 or "\x00" in told:
        refuse(400, "q must be a text of 1 to 80 characters")
    return told


def search() -> Response:
    return answer({"found_by": "name", "products": by_name(query(), COLUMNS)})


def by_name(words: str, columns: str) -> list[dict[str, object]]:
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
    if "price_cents" in values:  # kept as a text beside the number
        values["price_text"] = price_text(told["price_cents"])
    assignments = ", ".join(f"{name} = %({name})s" for name in values)
    row = parts().database.row(
        f"UPDATE products SET {assignments} WHERE sku = %(sku)s RETURNING {COLUMNS}, kind, description", {**values, "sku": sku}
    )
    if row is None:
        refuse(404, "there is no such product")
    return answer({"product": row})


ROUTES = (
    Route("/api/products", "GET", products, (200, 400), cache="public, max-age=30"),
    Route("/api/products/<sku>", "GET", product, (200, 404)),
    Route("/api/products/<sku>", "PUT", change, (200, 403, 404, 422), account=True, body=True),
    Route("/api/search", "GET", search, (200, 400)),
)
