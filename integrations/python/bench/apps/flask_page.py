# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""One page from a database, with Flask; CONTRACT=1 puts the library around it."""

from __future__ import annotations

import os

import catalogue
from flask import Flask

app = Flask("page")


@app.get("/api/empty")
def empty() -> object:
    return {}


@app.get("/api/search")
def search() -> object:
    if CONTRACT:
        gradual.is_on("search")
    return {"products": catalogue.search("tea")}


CONTRACT = os.environ["CONTRACT"] == "1"
if CONTRACT:
    from gradual_contract import Gradual

    gradual = Gradual(app, features={"search": ["GET /api/search"]})
