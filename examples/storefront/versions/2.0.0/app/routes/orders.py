"""Orders: each numbered order is written once."""

from __future__ import annotations

from flask import Response, request

from ..web import Route, account, answer, body, number_field, on, parts, refuse, text_field

MOST_REFERENCE = 2**63 - 1
MOST_QUANTITY = 100
COLUMNS = "reference, sku, quantity, total_cents, express, created"
STEPS = {False: ["address", "payment", "confirm"], True: ["confirm"]}
"""What is left to do, without and with express checkout."""


def shown(row: dict[str, object]) -> dict[str, object]:
    created = row["created"]
    return {**row, "created": created.isoformat(timespec="microseconds")}  # type: ignore[attr-defined]


def checkout() -> Response:
    """What an order would take and cost."""
    sku, quantity = request.args.get("sku", ""), request.args.get("quantity", "1")
    if not quantity.isascii() or not quantity.isdecimal() or not 1 <= int(quantity[:6]) <= MOST_QUANTITY:
        refuse(400, f"quantity must be a whole number from 1 to {MOST_QUANTITY}")
    row = parts().database.row("SELECT price_cents FROM products WHERE sku = %s", (sku,))
    if row is None:
        refuse(404, "there is no such product")
    return answer({**steps(), "total_cents": row["price_cents"] * int(quantity)})


def steps() -> dict[str, object]:
    express = on("express-checkout")
    return {"express": express, "steps": STEPS[express]}


def order() -> Response:
    """Write an order. The client chooses its number, so the same order may be sent again after a lost answer."""
    told = body()
    wanted = {
        "reference": number_field(told, "reference", MOST_REFERENCE),
        "sku": text_field(told, "sku", 40),
        "quantity": number_field(told, "quantity", MOST_QUANTITY, default=1),
        "account": account().id,
        "visitor": parts().gradual.user(),
        "express": on("express-checkout"),
    }
    written = insert(wanted)
    if written:
        parts().gradual.count("feature_orders")
        return answer({"order": shown(written)}, 201)
    there = parts().database.row(f"SELECT {COLUMNS}, account_id FROM orders WHERE reference = %s", (wanted["reference"],))
    if there is None:
        refuse(422, "there is no such product")
    if (there.pop("account_id"), there["sku"], there["quantity"]) != (wanted["account"], wanted["sku"], wanted["quantity"]):
        refuse(409, "this reference belongs to another order")
    return answer({"order": shown(there)})


def insert(wanted: dict[str, object]) -> dict[str, object] | None:
    """The order as written; None where the reference is used, or where there is no such product."""
    return parts().database.row(
        f"""INSERT INTO orders (reference, account_id, visitor, sku, quantity, total_cents, express)
            SELECT %(reference)s, %(account)s, %(visitor)s, sku, %(quantity)s, price_cents * %(quantity)s, %(express)s FROM products WHERE sku = %(sku)s
            ON CONFLICT (reference) DO NOTHING RETURNING {COLUMNS}""",
        wanted,
    )


def own() -> Response:
    rows = parts().database.rows(
        f"SELECT {COLUMNS} FROM orders WHERE account_id = %s ORDER BY created DESC, reference DESC LIMIT 20", (account().id,)
    )
    return answer({"orders": [shown(row) for row in rows]})


def one(reference: int) -> Response:
    if reference > MOST_REFERENCE:
        refuse(404, "there is no such order")
    row = parts().database.row(f"SELECT {COLUMNS} FROM orders WHERE reference = %s AND account_id = %s", (reference, account().id))
    if row is None:
        refuse(404, "there is no such order")
    return answer({"order": shown(row)})


ROUTES = (
    Route("/api/checkout", "GET", checkout, (200, 400, 404)),
    Route("/api/orders", "POST", order, (200, 201, 409, 422), account=True, body=True),
    Route("/api/orders", "GET", own, account=True),
    Route("/api/orders/<int:reference>", "GET", one, (200, 404), account=True),
)
