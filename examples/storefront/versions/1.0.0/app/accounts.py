"""Passwords and session cookies."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass

from itsdangerous import BadData, URLSafeTimedSerializer

COST = 2**14  # with r = 8: 16 MiB and about 40 ms for each attempt
SESSION_SECONDS = 12 * 3600


@dataclass(frozen=True)
class Account:
    id: int
    merchant: bool


def _scrypt(password: str, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=8, p=1, maxmem=64 * 2**20, dklen=32)


def hash_password(password: str) -> str:
    """`scrypt$cost$salt$hash`, salt and hash in base64."""
    salt = secrets.token_bytes(16)
    coded = [base64.b64encode(part).decode() for part in (salt, _scrypt(password, salt, COST))]
    return "$".join(["scrypt", str(COST), *coded])


NOBODY = hash_password(secrets.token_hex(16))
"""Checked where there is no account, so that an unknown address takes as long as a wrong password."""


def password_is_right(password: str, stored: str) -> bool:
    _scheme, cost, salt, wanted = stored.split("$")
    seen = _scrypt(password, base64.b64decode(salt), int(cost))
    return hmac.compare_digest(seen, base64.b64decode(wanted))


class Sessions:
    """Signed cookies: every host that has the key can read them, nobody else can write them."""

    def __init__(self, key: str) -> None:
        self._signer = URLSafeTimedSerializer(key, salt="storefront.session", signer_kwargs={"digest_method": hashlib.sha256})

    def write(self, account: Account) -> str:
        return self._signer.dumps([account.id, int(account.merchant)])

    def read(self, cookie: str | None) -> Account | None:
        if not cookie or len(cookie) > 300:
            return None
        try:
            number, merchant = self._signer.loads(cookie, max_age=SESSION_SECONDS)
            return Account(int(number), bool(merchant))
        except (BadData, TypeError, ValueError):
            return None
