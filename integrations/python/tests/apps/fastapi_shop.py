# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""The shop of the tests, with FastAPI."""

from __future__ import annotations

import asyncio
import os

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse
from gradual_contract import Gradual

app = FastAPI()
router = APIRouter(prefix="/products")


async def ready() -> str | None:
    await asyncio.sleep(0)
    return None if os.path.exists(os.environ["READY"]) else "closed"


@app.get("/api/search")
async def search(q: str = "") -> object:
    if q == "refused":
        return JSONResponse({}, 401)
    if gradual.is_on("search") and q == "broken":
        raise RuntimeError("the feature is broken")
    return {"on": gradual.is_on("search"), "variant": gradual.details("search").variant, "unknown": gradual.is_on("x")}


@router.get("/{number}")
def product(number: int) -> object:
    return {"number": number}


@app.get("/slow")
async def slow() -> object:
    await asyncio.sleep(1.5)
    return {}


@app.post("/api/orders", status_code=201)
def order() -> object:
    """Not a coroutine: it runs in a thread, and knows the request there too."""
    gradual.count("feature_orders")
    gradual.feedback("checkout", "good")
    return {}


app.include_router(router, prefix="/api")
gradual = Gradual(
    app,
    features={"search": ["GET /api/search"], "checkout": ["POST /api/orders"]},
    ready=ready,
    counters={"feature_orders": "Orders, by what the user has."},
)
