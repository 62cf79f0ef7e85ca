# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""The snippets of docs/integrations.md run as they stand."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from gradual_contract import Gradual

from integrations.python.tests.server import LIBRARY, Server, json_of

PAGE = LIBRARY.parents[1] / "docs" / "integrations.md"
URLS = """
from django.urls import path
from views import search
urlpatterns = [path("api/search", search)]
ROOT_URLCONF, ALLOWED_HOSTS, SECRET_KEY = "settings", ["*"], "of the tests"
"""


def snippets(heading: str) -> dict[str, str]:
    """{file: its text} of one chapter."""
    chapter = PAGE.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n# ([\w.]+)[^\n]*\n(.*?)```", chapter, re.DOTALL)
    return dict(blocks)


@pytest.mark.parametrize(
    ("heading", "command", "more"),
    [
        ("Flask", ("gunicorn", "--workers", "2", "shop:app"), {}),
        ("Django", ("gunicorn", "--workers", "2", "wsgi:application"), {"settings.py": URLS}),
        ("FastAPI and Starlette", ("uvicorn", "shop:app"), {}),
    ],
)
def test_snippets(
    start: Callable[..., Server], tmp_path: Path, heading: str, command: tuple[str, ...], more: dict[str, str]
) -> None:
    folder = tmp_path / "apps"
    folder.mkdir()
    files = snippets(heading)
    assert files
    for name, text in (files | snippets("Flask") if "gunicorn" in command else files).items():
        (folder / name).write_text(files.get(name, text) + more.get(name, ""))
    if "gunicorn" in command:
        command = (*command, "--config", str(folder / "gunicorn.conf.py"))
    shop = start(command, apps=folder)
    assert "READY=1" in shop.told
    assert json_of(shop.get("/api/search", "anna")) == {"found_by": "name"}
    shop.show(100, features=("search",))
    assert json_of(shop.get("/api/search", "anna")) == {"found_by": "words"}
    assert shop.value("feature_requests_total", feature="search", variant="on", outcome="ok") == 1


def test_the_table_names_every_option() -> None:
    options = [name for name in inspect.signature(Gradual).parameters if name != "app"]
    assert re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE) == options
