"""Accounts: sign up, sign in, sign out."""

from __future__ import annotations

import re

from flask import Response

from ..accounts import NOBODY, Account, hash_password, password_is_right
from ..web import Route, account, answer, body, parts, refuse, session_cookie, text_field

EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,180}")
LEAST_PASSWORD = 12


def credentials(told: dict[str, object], least: int) -> tuple[str, str]:
    email = text_field(told, "email", 200, least=3).lower()
    if not EMAIL.fullmatch(email):
        refuse(422, "email must be an address such as anna@example.org")
    return email, text_field(told, "password", 200, least=least)


def sign_up() -> Response:
    told = body()
    email, password = credentials(told, LEAST_PASSWORD)
    name = text_field(told, "name", 80)
    row = parts().database.row(
        "INSERT INTO accounts (email, name, password) VALUES (%s, %s, %s) ON CONFLICT (email) DO NOTHING RETURNING id, email, name",
        (email, name, hash_password(password)),
    )
    if row is None:
        refuse(409, "there is an account with this address")
    return answer({"account": row}, 201)


def sign_in() -> Response:
    email, password = credentials(body(), 1)
    row = parts().database.row("SELECT id, email, name, password, merchant FROM accounts WHERE email = %s", (email,))
    right = password_is_right(password, row["password"] if row else NOBODY)
    if row is None or not right:
        refuse(401, "address or password is wrong")
    response = answer({"account": {key: row[key] for key in ("id", "email", "name")}})
    session_cookie(response, parts().sessions.write(Account(row["id"], row["merchant"])))
    return response


def sign_out() -> Response:
    response = Response(status=204)
    session_cookie(response, "")
    return response


def own() -> Response:
    row = parts().database.row("SELECT id, email, name FROM accounts WHERE id = %s", (account().id,))
    if row is None:
        refuse(401, "sign in first: POST /api/session")
    return answer({"account": row})


ROUTES = (
    Route("/api/accounts", "POST", sign_up, (201, 409, 422), body=True),
    Route("/api/session", "POST", sign_in, (200, 401, 422), body=True),
    Route("/api/session", "DELETE", sign_out, (204,)),
    Route("/api/account", "GET", own, account=True),
)
