"""What the user thinks of a feature."""

from __future__ import annotations

from flask import Response

from .. import release
from ..web import Route, answer, body, on, parts, refuse, text_field

OPINIONS = ("good", "bad")


def feedback() -> Response:
    told = body()
    feature, opinion = told.get("feature"), told.get("opinion")
    if feature not in tuple(release.FEATURES):  # it may be anything, a list too
        refuse(422, f"feature must be one of: {', '.join(release.FEATURES) or 'none in this release'}")
    if opinion not in OPINIONS:
        refuse(422, "opinion must be good or bad")
    comment = text_field(told, "comment", 1000) if told.get("comment") is not None else None
    variant = "on" if on(feature) else "off"
    parts().database.rows(
        "INSERT INTO feedback (visitor, feature, variant, opinion, comment) VALUES (%s, %s, %s, %s, %s)",
        (parts().gradual.user(), feature, variant, opinion, comment),
    )
    parts().gradual.feedback(feature, opinion)
    return answer({"feedback": {"feature": feature, "variant": variant, "opinion": opinion}}, 201)


ROUTES = (Route("/api/feedback", "POST", feedback, (201, 422), body=True),)
