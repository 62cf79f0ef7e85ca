"""The page and its assets."""

from __future__ import annotations

import json
import mimetypes
import re
from functools import cache
from pathlib import Path

from flask import Response, render_template, request

from ..settings import ROOT
from ..web import Route, refuse

ASSET = re.compile(r"[a-z][a-z-]*\.[0-9a-f]{12}\.(css|js|svg)")
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@cache
def names() -> dict[str, str]:
    """storefront.js -> storefront.<digest>.js, as the build wrote it."""
    named: dict[str, str] = json.loads((ROOT / "static" / "assets.json").read_text())
    return named


@cache
def content(path: Path) -> bytes:
    return path.read_bytes()


def find(name: str) -> Path | None:
    """The asset, here or in another release unpacked beside this one.

    While a rollout is under way, a page of the new release asks a host of the old one for its assets (and the other way round). The
    name holds the digest of the content, so whichever release has the name has the right content.
    """
    for directory in (ROOT, *sorted(ROOT.parent.glob("*-*/"))):
        path = directory / "static" / name
        if path.is_file():
            return path
    return None


@cache
def rendered() -> str:
    return render_template("page.html", assets=names())


def page() -> Response:
    response = Response(rendered(), content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = PAGE_POLICY
    return response


def asset(name: str) -> Response:
    path = find(name) if ASSET.fullmatch(name) else None
    if path is None:
        refuse(404, "there is no such asset")
    response = Response(content(path), content_type=mimetypes.guess_type(name)[0] or "application/octet-stream")
    response.set_etag(name.split(".")[1])
    response.make_conditional(request)
    return response


ROUTES = (
    Route("/", "GET", page, cache="no-cache"),
    Route("/static/<name>", "GET", asset, (200, 304, 404), cache="public, max-age=31536000, immutable"),
)
