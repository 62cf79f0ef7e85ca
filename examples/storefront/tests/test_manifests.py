"""The release manifests: right by Gradual's own rules, and their smoke tests tell one release and one variant from the
other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from ansible_collections.gradual.rollout.plugins.module_utils.common.http import Session
from ansible_collections.gradual.rollout.plugins.module_utils.common.probe import probe_all
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest import document as manifests

from examples.storefront.tests.support import STOREFRONT, Service, flagd, put, running, wait_for

RELEASES = STOREFRONT.parent.parent / "releases"
NAMES = (
    "first",
    "epic21",
    "epic21-errors",
    "epic21-slow",
    "epic21-no-start",
    "epic21-bad-migration",
    "epic21-not-ready",
)


def manifest(name: str) -> dict[str, Any]:
    text = (RELEASES / f"{name}.yml").read_text().replace("{{ artifact_host }}", "192.0.2.30")
    checked, mistakes = manifests.check(yaml.safe_load(text))
    assert mistakes == []
    return checked


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_has_no_mistake(name: str) -> None:
    assert manifest(name)["application"] == "storefront"


def test_only_these_manifests_are_there() -> None:
    assert {path.stem for path in RELEASES.glob("*.yml")} == set(NAMES)


def failed(service: Service, probes: list[dict[str, Any]]) -> list[str]:
    assert probes
    return [
        result["name"]
        for result in probe_all(Session(f"http://127.0.0.1:{service.port}"), probes, {})
        if not result["passed"]
    ]


def test_the_smoke_tests_of_the_application_pass_on_both_releases(
    service_of: Callable[..., Service], migrated: Callable[[str | None], str]
) -> None:
    for version, name, revision in (("1.0.0", "first", "0001"), ("2.0.0", "epic21", "0003")):
        with running(service_of(version, migrated(revision), WORKERS="1"), wait="/readyz") as service:
            assert failed(service, manifest(name)["smoke"]) == []


def test_the_smoke_tests_of_features_pass_with_their_variant_and_fail_with_the_other(
    service_of: Callable[..., Service], database: str
) -> None:
    probes = [probe for feature in manifest("epic21")["features"] for probe in feature["smoke"]]
    arms = {flag: [probe for probe in probes if probe["flag"] == flag] for flag in ("on", "off")}
    with running(service_of("2.0.0", database, WORKERS="1"), wait="/readyz") as service:
        for revision, (flag, other, percent) in enumerate((("on", "off", 100), ("off", "on", 0)), 1):
            put(service.flags, flagd(revision, percent))
            wait_for("flags", lambda at=revision: all(told[0] == at for told in service.evaluated("search").values()))  # type: ignore[misc]
            assert failed(service, arms[flag]) == []
            assert failed(service, arms[other]) == [probe["name"] for probe in arms[other]]
