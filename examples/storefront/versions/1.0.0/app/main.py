"""The application: parts, routes, and what each worker starts of its own."""

from __future__ import annotations

import logging
import sys
import threading
import time
from functools import partial

from flask import Flask
from gradual_contract import Gradual

from . import metrics, readiness, release, settings, web
from .accounts import Sessions
from .database import Database
from .routes import ROUTES

MOST_BODY = 64 * 1024


def create() -> Flask:
    """Make the application. Nothing is connected and no thread runs before `start`."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    told = settings.read()
    app = Flask("storefront", root_path=str(settings.ROOT), static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MOST_BODY
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.json.compact = True  # type: ignore[attr-defined]
    app.url_map.merge_slashes = False
    database = Database(told.database_url, told.pool)
    gradual = Gradual(
        app,
        features=release.FEATURES,
        ready=partial(readiness.check, database),
        counters={"feature_orders": "Orders, by what the user has."},
        routes=web.statuses(ROUTES),
        root=settings.ROOT,
    )
    app.extensions["storefront"] = web.Parts(database, gradual, Sessions(told.session_key))
    web.register(app, ROUTES)
    return app


def start(app: Flask) -> None:
    """What belongs to one worker process; called after the fork (gunicorn.conf.py)."""
    parts: web.Parts = app.extensions["storefront"]
    metrics.create()
    parts.database.open()
    threading.Thread(target=_tell_pool, args=(parts.database,), name="pool-watch", daemon=True).start()


def _tell_pool(database: Database) -> None:
    while True:
        stats = database.pool.get_stats()
        size, idle = stats.get("pool_size", 0), stats.get("pool_available", 0)
        metrics.pool_connections.labels("in_use").set(size - idle)
        metrics.pool_connections.labels("idle").set(idle)
        metrics.pool_connections.labels("waiting").set(stats.get("requests_waiting", 0))
        time.sleep(2)


application = create()
