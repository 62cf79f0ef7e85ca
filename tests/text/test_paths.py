"""Every path that a message or a document names is there, and every link of a document leads somewhere."""

from __future__ import annotations

import functools
import glob
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

HOME = Path(__file__).resolve().parents[2]
COLLECTION = HOME / "collections/ansible_collections/gradual/rollout"
FOLDERS = "docs|playbooks|roles|releases|inventories|sandbox|molecule|tests|examples|schemas|module_utils|plugin_utils"
# Not after a slash or a dot: that is the end of a longer path (/opt/shop/releases/…, .sandbox/…) or of an address.
PATH = re.compile(
    rf"(?:(?<![\w./{{}}<>\[-])|(?<=example\.org/gradual/))((?:{FOLDERS})/(?:[\w.*/-]|\{{\{{[^}}]*\}}\}}|\{{[^}}]*\}}|<[^>]*>)*)"
)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
# Messages and documents; the tests say what they like.
READ = (
    "*.md",
    "Makefile",
    "*.cfg",
    "*.yml",
    "docs/**/*.md",
    "playbooks/*.yml",
    "roles/**/*.*",
    "inventories/**/*",
    "releases/*.yml",
    "sandbox/*",
    "molecule/**/*.yml",
    "examples/*/README.md",
    "tests/*/README.md",
    f"{COLLECTION.relative_to(HOME)}/*.md",
    f"{COLLECTION.relative_to(HOME)}/plugins/**/*.*",
)
# What the reader or the sandbox makes, and what is made on a host: named so that it is seen to be an example.
OTHERS = re.compile(
    r"inventories/sandbox/group_vars/all/vault\.yml|releases/(yours|YOUR_RELEASE)\.yml"
    r"|releases/<[^>]+>\.yml|releases/[A-Z]+\S*|releases/\d+\.\d+\.\d+-\S+|inventories/(yours|production)\b.*|inventories/<[^>]+>"
    # of an application that new_application.yml writes
    r"|releases/1\.0\.0\.yml|sandbox/(hosts|monitoring\.yml|group_vars/.*)"
    r"|releases/<.*|playbooks/<name>\.yml|releases/\*/static|(playbooks|releases)/\{\w+\}\.yml|molecule/\{\{.*|releases/\{.*|roles/\{\{.*|molecule/<[^>]+>/.*"
)


@functools.cache
def alerts() -> list[str]:
    found = [yaml.safe_load(path.read_text()) for path in sorted((HOME / "roles/monitoring/files/rules").glob("*.yml"))]
    return [
        rule["alert"]
        for document in found
        for group in document["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]


def files() -> Iterator[Path]:
    for pattern in READ:
        for name in sorted(glob.glob(pattern, root_dir=HOME, recursive=True)):
            path = HOME / name
            if path.is_file() and path.suffix not in (".json", ".png", ".pyc") and path.name != "vault.yml":
                yield path


def missing(text: str, where: Path) -> list[str]:
    """The paths that a text in a file names and that are neither there nor examples."""
    wrong = []
    for match in PATH.finditer(text):
        said = match[1].rstrip(".")
        if OTHERS.fullmatch(said):
            continue
        page = re.fullmatch(r"docs/runbooks/\{.*\}\.md", said)
        wanted = [f"docs/runbooks/{name}.md" for name in alerts()] if page else [said]
        for path in wanted:
            if not any(
                glob.glob(str(place / path)) for place in (HOME, COLLECTION, COLLECTION / "plugins", where.parent)
            ):
                wrong.append(path)
    return wrong


@pytest.mark.parametrize("path", sorted(set(files())), ids=lambda path: str(path.relative_to(HOME)))
def test_every_path_that_is_named_is_there(path: Path) -> None:
    assert missing(path.read_text(encoding="utf-8"), path) == []


def test_what_names_paths_is_read() -> None:
    """Places in which a path was named that was not there, or could be, are among those that are looked at."""
    read = {str(path.relative_to(HOME)) for path in files()}
    assert {
        "README.md",
        "docs/backups.md",
        "roles/rollback/vars/main.yml",
        "roles/monitoring/files/rules/fleet.yml",
        "sandbox/fleet",
        "sandbox/demo",
    } <= read
    assert f"{COLLECTION.relative_to(HOME)}/plugins/module_utils/observe/health.py" in read
    assert len(read) > 250
    assert len(alerts()) > 25


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("see docs/runbooks/restore.md)", ["docs/runbooks/restore.md"]),
        ("ansible-playbook playbooks/undo.yml", ["playbooks/undo.yml"]),
        ("runbook_url: https://example.org/gradual/docs/runbooks/NoSuchAlert.md", ["docs/runbooks/NoSuchAlert.md"]),
        ("roles/*/nothing.yml", ["roles/*/nothing.yml"]),
        ("see module_utils/plan.py, module_utils/gate/", ["module_utils/plan.py"]),
        ("See docs/runbooks/{name}.md. docs/backups.md.", []),
        (
            (
                "-e @releases/yours.yml, /opt/shop/releases/none, .sandbox/none,"
                " https://www.postgresql.org/docs/current/x.html"
            ),
            [],
        ),
    ],
)
def test_a_path_that_is_not_there_is_found(text: str, wrong: list[str]) -> None:
    """The negative control."""
    assert missing(text, HOME / "README.md") == wrong


def test_what_the_second_environment_tests_is_there() -> None:
    """Only a machine with a second Python runs that line of the Makefile."""
    line = re.search(r"^WITH_ANSIBLE := (.+)$", (HOME / "Makefile").read_text(encoding="utf-8"), re.M)
    assert line
    assert [path for path in line[1].split() if not glob.glob(str(COLLECTION / "tests/unit" / path))] == []


def anchors(text: str) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ +(.+?) *$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "path", sorted({path for path in files() if path.suffix == ".md"}), ids=lambda path: str(path.relative_to(HOME))
)
def test_every_link_leads_somewhere(path: Path) -> None:
    wrong = []
    for target, anchor in LINK.findall(path.read_text(encoding="utf-8")):
        there = (path.parent / target).resolve() if target else path
        if not there.exists() or (
            anchor and there.suffix == ".md" and anchor not in anchors(there.read_text(encoding="utf-8"))
        ):
            wrong.append(f"{target}#{anchor}")
    assert wrong == []
