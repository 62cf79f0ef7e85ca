"""The application: parts, routes, and what each worker starts after its fork."""

from __future__ import annotations

import logging
import sys
import threading
import time

from flask import Flask

from . import metrics, release, settings, web
from .accounts import Sessions
from .database import Database
from .flags import Flags
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
    app.extensions["storefront"] = web.Parts(
        settings=told,
        database=Database(told.database_url, told.pool),
        flags=Flags(release.FEATURES, told.flags_file),
        sessions=Sessions(told.session_key),
    )
    web.register(app, ROUTES)
    return app


def start(app: Flask) -> None:
    """What belongs to one worker process; called after the fork (gunicorn.conf.py)."""
    parts: web.Parts = app.extensions["storefront"]
    parts.database.open()
    if release.FEATURES:
        parts.flags.start()
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
