# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""The shop of the tests, with Flask."""

from __future__ import annotations

import os
import time

from flask import Flask, request
from gradual_contract import Gradual

app = Flask("shop")
gradual = Gradual(
    app,
    features={"search": ["GET /api/search"], "checkout": ["POST /api/orders"]},
    ready=lambda: None if os.path.exists(os.environ["READY"]) else "closed",
    counters={"feature_orders": "Orders, by what the user has."},
)


@app.get("/api/search")
def search() -> object:
    if request.args.get("q") == "refused":
        return {}, 401
    if gradual.is_on("search") and request.args.get("q") == "broken":
        raise RuntimeError("the feature is broken")
    return {"on": gradual.is_on("search"), "variant": gradual.details("search").variant, "unknown": gradual.is_on("x")}


@app.get("/api/products/<int:number>")
def product(number: int) -> object:
    return {"number": number}


@app.get("/slow")
def slow() -> object:
    time.sleep(1.5)
    return {}


@app.post("/api/orders")
def order() -> object:
    gradual.count("feature_orders")
    gradual.feedback("checkout", "good")
    return {}, 201
