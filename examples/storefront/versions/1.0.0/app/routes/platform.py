"""What Gradual, the balancer and Prometheus ask; not for users."""

from __future__ import annotations

from flask import Response

from .. import metrics, release
from ..database import UNAVAILABLE
from ..web import Route, answer, parts


def healthz() -> Response:
    return answer({"status": "alive"})


def readyz() -> Response:
    """May this process take traffic: the database answers and its schema is one that this release runs on."""
    told = {"ready": False, "database": "ok", "schema": None, "needs": release.NEEDS_REVISION}
    try:
        told["schema"], reason = parts().database.schema_problem(release.NEEDS_REVISION, release.NEEDS_COLUMNS)
    except UNAVAILABLE as error:
        reason = f"the database does not answer ({type(error).__name__})"
        told["database"] = "unreachable"
    if reason:
        return answer({**told, "reason": reason}, 503)
    return answer({**told, "ready": True})


def version() -> Response:
    return answer(dict(parts().settings.release))


def prometheus() -> Response:
    return Response(metrics.text(), content_type=metrics.CONTENT_TYPE)


ROUTES = (
    Route("/healthz", "GET", healthz),
    Route("/readyz", "GET", readyz),
    Route("/version", "GET", version),
    Route("/metrics", "GET", prometheus),
)
