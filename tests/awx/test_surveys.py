"""The surveys of awx/: AWX accepts them, each answer is a variable that exists, and the manifest reader takes what AWX
makes of the answers."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest.document import check, unknown
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest.schema import SPEC

from tests.awx.configuration import HOME, read

# The types of AWX's questions, and the Python type of an answer or a default.
TYPES: dict[str, type] = {
    "text": str,
    "textarea": str,
    "integer": int,
    "float": float,
    "multiplechoice": str,
    "multiselect": list,
}
CONFIGURATION = read()
TEMPLATES = {one["name"]: one for one in CONFIGURATION["controller_templates"] if one.get("survey_enabled")}
SURVEYS = {name: one["survey_spec"] for name, one in TEMPLATES.items()}
RELEASE = CONFIGURATION["awx_release_survey"]


def objections(survey: dict[str, Any]) -> list[str]:
    """What AWX would refuse (JobTemplateSurveySpec of its API), and a question for a secret."""
    found = [f"{key} is missing" for key in ("name", "description", "spec") if not survey.get(key)]
    names = [question["variable"] for question in survey["spec"]]
    found += [f"{name}: asked twice" for name in set(names) if names.count(name) > 1]
    for question in survey["spec"]:
        name, kind = question["variable"], question["type"]
        if kind not in TYPES:
            found.append(f"{name}: type {kind}")
            continue
        if not isinstance(question["required"], bool) or not question["question_name"]:
            found.append(f"{name}: required or question_name")
        choices = question.get("choices", [])
        if (kind in ("multiplechoice", "multiselect")) != bool(choices):
            found.append(f"{name}: choices")
        if not all(isinstance(choice, str) for choice in choices):
            found.append(f"{name}: a choice that is no text")
        if "default" in question and (
            not isinstance(question["default"], TYPES[kind]) or (choices and question["default"] not in choices)
        ):
            found.append(f"{name}: default")
        if re.search(r"password|token|secret|key", name):
            found.append(f"{name}: a secret")
    return found


def role_variables() -> set[str]:
    """The variables of roles that an operator may set."""
    return {
        name
        for path in HOME.glob("roles/*/meta/argument_specs.yml")
        for entry in yaml.safe_load(path.read_text())["argument_specs"].values()
        for name in entry.get("options", {})
    }


@pytest.mark.parametrize("name", sorted(SURVEYS))
def test_awx_accepts_the_survey(name: str) -> None:
    assert objections(SURVEYS[name]) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "password"}, "version: type password"),
        ({"variable": "artifact"}, "artifact: asked twice"),
        ({"variable": "api_token"}, "api_token: a secret"),
        ({"required": "yes"}, "version: required or question_name"),
        ({"default": 2}, "version: default"),
        ({"choices": ["a"]}, "version: choices"),
    ],
)
def test_a_mistake_in_a_survey_is_found(change: dict[str, Any], said: str) -> None:
    assert said in objections({**RELEASE, "spec": [{**RELEASE["spec"][0], **change}, *RELEASE["spec"][1:]]})


@pytest.mark.parametrize("name", sorted(SURVEYS))
def test_each_answer_is_a_variable_that_exists(name: str) -> None:
    known = set(SPEC) | role_variables() | {"gradual_take_over"}
    assert {question["variable"] for question in SURVEYS[name]["spec"]} - known == set()


def test_the_alerts_that_can_be_accepted_are_critical_ones() -> None:
    rules = [
        rule
        for path in HOME.glob("roles/monitoring/files/rules/*.yml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]
    critical = {rule["alert"] for rule in rules if rule.get("labels", {}).get("severity") == "critical"}
    [question] = [one for one in RELEASE["spec"] if one["variable"] == "preflight_accepted_alerts"]
    assert set(question["choices"]) <= critical


def answers(filled_in: dict[str, Any]) -> dict[str, Any]:
    """What AWX gives a job: the answers, and for the other questions the default, or what a blank one comes as."""
    blank = {"multiselect": [], "text": "", "textarea": ""}
    given = {question["variable"]: question.get("default", blank.get(question["type"])) for question in RELEASE["spec"]}
    assert set(filled_in) <= set(given)
    for question in RELEASE["spec"]:
        if question["variable"] in filled_in:
            answer = filled_in[question["variable"]]
            assert isinstance(answer, TYPES[question["type"]])
            assert question.get("max") is None or len(str(answer)) <= question["max"]
            chosen = answer if isinstance(answer, list) else [answer]
            assert "choices" not in question or set(chosen) <= set(question["choices"])
    return given | filled_in


def read_as_manifest(given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The manifest and all errors, with the application from the inventory, as preflight reads them."""
    foreign = unknown(given, role_variables())
    manifest, mistakes = check({"application": "shop", **{key: given[key] for key in given if key in SPEC}})
    return manifest, foreign + mistakes


def release(name: str) -> dict[str, Any]:
    """A manifest of the project, with the address that AWX's answers must have in full."""
    text = (HOME / f"releases/{name}.yml").read_text().replace("{{ artifact_host }}", "192.0.2.1")
    return dict(yaml.safe_load(text))


def test_two_answers_are_a_release() -> None:
    artifact = "url: https://artifacts.example.org/shop-2.10.tar.gz\nsha256: " + "a" * 64
    manifest, mistakes = read_as_manifest(answers({"version": "2.10", "artifact": artifact}))
    assert mistakes == []
    assert (manifest["version"], manifest["stages"], manifest["approval"]) == ("2.10", [25, 50, 100], False)
    assert manifest["migrations"] is None
    # As the same manifest in a file.
    written, _ = check({"application": "shop", "version": "2.10", "artifact": yaml.safe_load(artifact)})
    assert {key: manifest[key] for key in written} == written


@pytest.mark.parametrize("name", ["epic21", "epic21-errors", "first"])
def test_a_manifest_of_the_project_fits_into_the_answers(name: str) -> None:
    """Text areas hold YAML, choices are texts; the manifest is the same."""
    manifest = release(name)
    given: dict[str, Any] = {}
    for key, value in manifest.items():
        if key == "application":
            continue
        if key == "stages":
            given[key] = [str(share) for share in value]
        else:
            given[key] = value if isinstance(value, str) else yaml.safe_dump(value)
    read, mistakes = read_as_manifest(answers(given))
    wanted, none = check({**manifest, "application": "shop"})
    assert (mistakes, none) == ([], [])
    assert {key: read[key] for key in wanted} == wanted


def test_the_default_of_the_artifact_is_no_release() -> None:
    """Whoever fills in the version only is told what is missing."""
    _manifest, mistakes = read_as_manifest(answers({"version": "2.0.0"}))
    assert sorted(line.partition(":")[0] for line in mistakes) == ["artifact.sha256", "artifact.url"]
