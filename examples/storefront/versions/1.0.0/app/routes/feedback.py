"""What the user has, and what the user thinks of it."""

from __future__ import annotations

from flask import Response, g

from .. import metrics, release
from ..web import Route, answer, body, has, on, parts, refuse, text_field

OPINIONS = ("good", "bad")


def features() -> Response:
    return answer({"features": {feature: on(feature) for feature in sorted(release.FEATURES)}})


def feedback() -> Response:
    told = body()
    feature, opinion = told.get("feature"), told.get("opinion")
    if feature not in release.FEATURES:
        refuse(422, f"feature must be one of: {', '.join(release.FEATURES) or 'none in this release'}")
    if opinion not in OPINIONS:
        refuse(422, "opinion must be good or bad")
    comment = text_field(told, "comment", 1000) if told.get("comment") is not None else None
    variant = "on" if on(feature) else "off"
    parts().database.rows(
        "INSERT INTO feedback (visitor, feature, variant, opinion, comment) VALUES (%s, %s, %s, %s, %s)",
        (g.visitor, feature, variant, opinion, comment),
    )
    if not g.probe:
        metrics.feature_feedback.labels(feature, has(feature).variant, opinion).inc()
    return answer({"feedback": {"feature": feature, "variant": variant, "opinion": opinion}}, 201)


ROUTES = (
    Route("/api/features", "GET", features, visitor=True),
    Route("/api/feedback", "POST", feedback, (201, 422), visitor=True, body=True),
)
