"""The A/A stage and the holdback: which users are labelled, as the real provider deals them, and what is refused."""

from __future__ import annotations

import collections
import time
import typing as t

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.flags import definition as flag_definition
from ansible_collections.gradual.rollout.plugins.module_utils.flags import file as flag_file
from ansible_collections.gradual.rollout.plugins.module_utils.flags import lint as flag_lint
from ansible_collections.gradual.rollout.plugins.module_utils.flags import process_state
from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext

Json = dict[str, t.Any]
USERS = [f"visitor-{number}" for number in range(20_000)]
STAGES = [10, 25, 50, 100]


def document(revision: int, **entry: t.Any) -> Json:
    wanted = [
        flag_definition.wanted_from({"flag": flag, "certified": 0, **entry}) for flag in ("search", "recommendations")
    ]
    return flag_definition.plan(None, wanted, revision).document


@pytest.fixture(scope="module")
def dealt(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[t.Callable[..., dict[str, set[str]]]]:
    """dealt(document, flag) -> {variant: users} as the provider gives them, once it has read the document."""
    path = str(tmp_path_factory.mktemp("provider") / "flags.json")
    flag_file.write(path, flag_definition.render(document(1)))
    provider = FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=path, deadline_ms=50)
    api.set_provider(provider, domain="test_labels")
    client = api.get_client(domain="test_labels")

    def variants(built: Json, flag: str = "search") -> dict[str, set[str]]:
        flag_file.write(path, flag_definition.render(built))
        until = time.monotonic() + 15
        while client.get_boolean_details(flag, True, EvaluationContext("x")).flag_metadata.get(
            "revision"
        ) != flag_definition.revision_of(built, flag):
            assert time.monotonic() < until, "the file was not read"
            time.sleep(0.1)
            flag_file.renew(path)
        found: dict[str, set[str]] = collections.defaultdict(set)
        for user in USERS:
            details = client.get_boolean_details(flag, True, EvaluationContext(user))
            assert details.error_code is None
            assert details.value is (details.variant == "on")
            found[str(details.variant)].add(user)
        return dict(found)

    yield variants
    provider.shutdown()


@pytest.mark.parametrize(
    ("flag", "holdback", "revision"), [("search", 0, 100), ("recommendations", 0, 200), ("search", 10, 300)]
)
def test_the_users_of_a_stage_are_the_labels_up_to_it(
    dealt: t.Callable[..., dict[str, set[str]]], flag: str, holdback: int, revision: int
) -> None:
    labels = flag_definition.labels_of(STAGES, holdback)
    labelled = dealt(document(revision, labels=labels), flag)
    assert set(labelled) == {*map(flag_definition.label, labels), "off"}
    assert sum(map(len, labelled.values())) == len(USERS)
    for number, percent in enumerate(STAGES, 1):
        shown = flag_definition.shown_at(percent, holdback)
        stage = dealt(document(revision + number, certified=shown), flag)
        treatment = set().union(
            *(labelled[flag_definition.label(label)] for label in labels if label <= shown),
            labelled["off"] if shown == 100 else (),
        )
        assert stage["on"] == treatment
        assert stage.get("off", set()) == set(USERS) - treatment
        assert abs(len(treatment) / len(USERS) - shown / 100) < 0.015


def test_a_baking_share_is_for_the_labelled_users_too(dealt: t.Callable[..., dict[str, set[str]]]) -> None:
    labelled = dealt(document(400, labels=[25, 50]))
    assert (
        dealt(document(401, certified=25, baking=50, expiry=1_990_000_000))["on"] == labelled["aa25"] | labelled["aa50"]
    )
    assert (
        dealt(document(402, certified=50, baking=95, expiry=1_990_000_000))["on"] > labelled["aa25"] | labelled["aa50"]
    )


@pytest.mark.parametrize(
    ("stages", "holdback", "labels", "shown"),
    [
        ([25, 50, 100], 0, [25, 50], [25, 50, 100]),
        ([25, 50, 100], 5, [25, 50, 95], [25, 50, 95]),
        ([100], 0, [], [100]),
        ([100], 20, [80], [80]),
        # A stage can never show the feature to those who are held back later, or they would lose it.
        ([25, 50, 100], 60, [25, 40], [25, 40, 40]),
        ([1, 99, 100], 1, [1, 99], [1, 99, 99]),
    ],
)
def test_shares_of_stages(stages: list[int], holdback: int, labels: list[int], shown: list[int]) -> None:
    assert flag_definition.labels_of(stages, holdback) == labels
    assert [flag_definition.shown_at(percent, holdback) for percent in stages] == shown


def test_what_is_written() -> None:
    flag = document(7, labels=[25, 50])["flags"]["search"]
    assert flag["variants"] == {"on": True, "off": False, "aa25": False, "aa50": False}
    assert flag["targeting"] == {"fractional": [["aa25", 25], ["aa50", 25], ["off", 50]]}
    assert (flag["defaultVariant"], flag["state"]) == ("off", "ENABLED")
    labelled = document(7, labels=[25, 50])
    again = [
        flag_definition.wanted_from({"flag": name, "certified": 0, "labels": [25, 50]})
        for name in ("search", "recommendations")
    ]
    assert not flag_definition.plan(labelled, again, 9).changed
    off = flag_definition.plan(labelled, [flag_definition.wanted_from({"flag": "search", "certified": 0})], 9)
    assert (off.differing, off.document["flags"]["search"]["variants"]) == (["search"], {"on": True, "off": False})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"labels": [50, 25]}, "write the shares of the stages under 100, rising"),
        ({"labels": [25, 25]}, "write the shares"),
        ({"labels": [25, 100]}, "write the shares"),
        ({"labels": [0, 25]}, "write the shares"),
        ({"labels": [True]}, "write the shares"),
        ({"labels": "25"}, "labels is '25'"),
        ({"certified": 25, "labels": [25]}, "labels [25] are for a feature that is off, got certified 25 %"),
        ({"baking": 25, "expiry": 1_990_000_000, "labels": [25]}, "baking 25"),
    ],
)
def test_labels_that_cannot_be_wanted(entry: Json, message: str) -> None:
    with pytest.raises(flag_definition.FlagFileError) as error:
        flag_definition.wanted_from({"flag": "search", "certified": 0, **entry})
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("buckets", "wrong"),
    [
        ([["aa25", 25], ["aa50", 25], ["off", 50]], False),
        ([["aa50", 25], ["aa25", 25], ["off", 50]], True),
        ([["off", 50], ["aa25", 25], ["aa50", 25]], True),
        ([["aa25", 25], ["off", 50], ["aa50", 25]], True),
        ([["aa25", 25], ["aa25", 25], ["off", 50]], True),
    ],
)
def test_lint_of_the_order(buckets: list[list[t.Any]], wrong: bool) -> None:
    flag = {
        **flag_definition.definition(
            flag_definition.wanted_from({"flag": "search", "certified": 0, "labels": [25, 50]}), 1
        ),
        "targeting": {"fractional": buckets},
    }
    assert ["stand at other users" in mistake for mistake in flag_lint.lint({"flags": {"search": flag}})] == [
        True
    ] * wrong


@pytest.mark.parametrize(
    ("variants", "wanted", "missing"),
    [
        (["on", "off", "aa25"], {"search": ["aa25"]}, None),
        (["on", "off", "aa25"], {"search": []}, None),
        (["on", "off", "aa25"], {"search": ["aa25", "aa50"]}, "of search has no series with the variant aa50:"),
        ([], {"search": ["aa25", "aa50"]}, "of search has no series with the variant aa25, aa50:"),
        (["aa25"], {"cart": ["aa25"]}, "of cart has no series"),
    ],
)
def test_an_application_that_does_not_label_is_told(
    variants: list[str], wanted: dict[str, list[str]], missing: str | None
) -> None:
    text = "".join(
        f'feature_requests_total{{feature="search",variant="{variant}",outcome="ok"}} 0.0\n' for variant in variants
    )
    told = process_state.unlabelled(text, wanted)
    assert (told == []) if missing is None else (len(told) == 1 and missing in told[0])
