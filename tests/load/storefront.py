"""The requests of a day in the storefront, endlessly: mostly reads, some writes, few sign-ins."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .generator import Request

# How often each kind comes, in a thousand. Sign-ins are few because each one costs the application a password hash.
WEIGHTS = {
    "page": 80,
    "asset": 80,
    "features": 80,
    "products": 140,
    "product": 220,
    "search": 150,
    "checkout": 80,
    "order": 90,
    "orders": 20,
    "feedback": 57,
    "sign in": 3,
}
SIGNED_IN = {"order", "orders", "sign in"}
SKUS = [f"{kind}-{number:02d}" for kind in ("tea", "pot", "cup") for number in range(1, 21)]
WORDS = ["green", "black", "sencha", "grassy", "porcelain", "cup", "pot", "glass", "gift", "smoky"]
FEATURES = ["search", "recommendations", "express-checkout"]
PASSWORD = "not a secret: made for the load test"
ASSET = re.compile(rb"[\"'(](/static/[A-Za-z0-9_.-]+)")

Check = Callable[[bytes], "str | None"]


def has(*keys: str, **values: Any) -> Check:
    """A check that the body is a JSON object with these keys, and these values in the object under the first key."""

    def check(body: bytes) -> str | None:
        try:
            seen = json.loads(body)
        except ValueError:
            return f"the body is not JSON: {body[:60]!r}"
        if not isinstance(seen, dict) or not all(key in seen for key in keys):
            return f"want {', '.join(keys)} in the answer, got {body[:80]!r}"
        wrong = [name for name, value in values.items() if seen[keys[0]].get(name) != value]
        return f"want {values} in the answer, got {body[:120]!r}" if wrong else None

    return check


@dataclass
class Mix:
    """An endless iterator of requests by ``visitors`` visitors; the same seed gives the same ones.

    Orders carry the references ``first_order``, ``first_order`` + 1, …: each reference leaves once, so it must be
    written once. ``sessions`` are session cookies of the accounts that order; assets are learnt from the pages seen.
    """

    first_order: int
    visitors: int = 2000
    seed: int = 21
    sessions: list[str] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)
    assets: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._references = itertools.count(self.first_order)
        self.choose()

    def choose(self) -> None:
        """Weigh the kinds of request; called again once there are accounts."""
        kinds = {kind: weight for kind, weight in WEIGHTS.items() if self.sessions or kind not in SIGNED_IN}
        self._kinds = list(kinds), list(kinds.values())

    def __iter__(self) -> Iterator[Request]:
        return self

    def __next__(self) -> Request:
        visitor = f"load-{self._dice.randrange(self.visitors):05d}"
        kind = self._dice.choices(*self._kinds)[0]
        return self._request(kind, visitor, self._dice.choice(SKUS))

    def _learn_assets(self, body: bytes) -> str | None:
        found = [path.decode() for path in ASSET.findall(body)]
        if not found:
            return "the page names no assets"
        self.assets[:] = [*found, *(path for path in self.assets if path not in found)][:50]
        return None

    def _request(self, kind: str, visitor: str, sku: str) -> Request:
        if kind == "page" or (kind == "asset" and not self.assets):
            return Request("page", "/", visitor, check=self._learn_assets)
        if kind == "asset":
            return Request(kind, self._dice.choice(self.assets), visitor)
        if kind == "features":
            return Request(kind, "/api/features", visitor, check=has("features"))
        if kind == "products":
            return Request(kind, f"/api/products?page={self._dice.randint(1, 3)}", visitor, check=has("products"))
        if kind == "product":
            return Request(kind, f"/api/products/{sku}", visitor, check=has("product", sku=sku))
        if kind == "search":
            return Request(kind, f"/api/search?q={self._dice.choice(WORDS)}", visitor, check=has("products"))
        if kind == "checkout":
            return Request(kind, f"/api/checkout?sku={sku}&quantity=2", visitor, check=has("steps", "total_cents"))
        if kind == "order":
            reference = next(self._references)
            # 201 only: 200 would mean that something on the way sent the order a second time.
            return Request(
                kind,
                "/api/orders",
                visitor,
                method="POST",
                json={"reference": reference, "sku": sku, "quantity": self._dice.randint(1, 3)},
                cookies={"session": self._dice.choice(self.sessions)},
                statuses=(201,),
                check=has("order", reference=reference),
                order=reference,
            )
        if kind == "orders":
            return Request(
                kind, "/api/orders", visitor, cookies={"session": self._dice.choice(self.sessions)}, check=has("orders")
            )
        if kind == "feedback":
            # Release 1.0.0 has no features and says so with 422, by its contract.
            opinion = "good" if self._dice.random() < 0.9 else "bad"
            body = {"feature": self._dice.choice(FEATURES), "opinion": opinion}
            return Request(kind, "/api/feedback", visitor, method="POST", json=body, statuses=(201, 422))
        return sign_in(self._dice.choice(self.accounts))


def sign_up(email: str) -> Request:
    """Make an account; 409 when an earlier load made it."""
    body = {"email": email, "password": PASSWORD, "name": "Load"}
    return Request("sign up", "/api/accounts", "load-setup", method="POST", json=body, statuses=(201, 409))


def sign_in(email: str) -> Request:
    """Sign in; a good answer carries the session cookie."""
    body = {"email": email, "password": PASSWORD}
    return Request("sign in", "/api/session", "load-setup", method="POST", json=body)
