# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""The shop of the tests, with Starlette."""

from __future__ import annotations

import asyncio
import os

from gradual_contract import Gradual
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route


async def search(request: Request) -> JSONResponse:
    q = request.query_params.get("q")
    if q == "refused":
        return JSONResponse({}, 401)
    if gradual.is_on("search") and q == "broken":
        raise RuntimeError("the feature is broken")
    variant = gradual.details("search").variant
    return JSONResponse({"on": gradual.is_on("search"), "variant": variant, "unknown": gradual.is_on("x")})


async def product(request: Request) -> JSONResponse:
    return JSONResponse({"number": request.path_params["number"]})


async def slow(_request: Request) -> JSONResponse:
    await asyncio.sleep(1.5)
    return JSONResponse({})


def order(_request: Request) -> JSONResponse:
    gradual.count("feature_orders")
    gradual.feedback("checkout", "good")
    return JSONResponse({}, 201)


app = Starlette(
    routes=[
        Route("/api/search", search),
        Mount("/api/products", routes=[Route("/{number:int}", product)]),
        Route("/slow", slow),
        Route("/api/orders", order, methods=["POST"]),
    ]
)
gradual = Gradual(
    app,
    features={"search": ["GET /api/search"], "checkout": ["POST /api/orders"]},
    ready=lambda: None if os.path.exists(os.environ["READY"]) else "closed",
    counters={"feature_orders": "Orders, by what the user has."},
)
