# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""Who gets a feature: over 100,000 users the library evaluates what Gradual foretells.

Gradual's prediction is the label of the A/A stage (module_utils/flags/definition.py): before anybody has the feature,
it names for each user the first stage that will show it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.flags import definition
from ansible_collections.gradual.rollout.plugins.module_utils.flags import file as flag_file
from gradual_contract.flags import Flags
from gradual_contract.metrics import BUCKETS, Metrics

USERS = [f"visitor-{number}" for number in range(100_000)]
STAGES = (25, 50, 100)


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., list[str]]]:
    """variants(flag, percent, labels) -> the variant of each user, as the library evaluates a file of Gradual's."""
    path = str(tmp_path_factory.mktemp("flags") / "flags.json")
    document = definition.plan(None, [definition.Wanted("search", 0), definition.Wanted("checkout", 0)], 1).document
    flag_file.write(path, definition.render(document))
    metrics = Metrics(["search", "checkout"], {}, BUCKETS)
    metrics.create({})
    flags = Flags(["search", "checkout"], path, metrics)
    flags.start()

    def evaluated(flag: str, percent: int, labels: Sequence[int] = ()) -> list[str]:
        nonlocal document
        document = definition.plan(document, [definition.Wanted(flag, percent, labels=tuple(labels))], 0).document
        flag_file.write(path, definition.render(document))
        until = time.monotonic() + 30
        while flags.revision(flag) != definition.revision_of(document, flag):
            assert time.monotonic() < until, "the file was not read"
            time.sleep(0.1)
        found = [flags.details(flag, user) for user in USERS]
        assert all(details.on is (details.variant == "on") for details in found)
        return [details.variant for details in found]

    yield evaluated
    flags.stop()


@pytest.mark.parametrize("flag", ["search", "checkout"])
def test_the_users_of_each_stage_are_those_that_gradual_foretells(
    variants: Callable[..., list[str]], flag: str
) -> None:
    labels = definition.labels_of(STAGES)
    foretold = variants(flag, 0, labels)
    assert set(foretold) == {*map(definition.label, labels), "off"}
    for percent in (25, 50):
        shown = {definition.label(label) for label in labels if label <= percent}
        wrong = [
            user
            for user, label, variant in zip(USERS, foretold, variants(flag, percent), strict=True)
            if (variant == "on") is not (label in shown)
        ]
        assert wrong == []
        share = sum(label in shown for label in foretold) / len(USERS)
        assert abs(share - percent / 100) < 0.006, "four standard deviations"


def test_two_features_have_different_users(variants: Callable[..., list[str]]) -> None:
    """The control: with another flag's users, the test above would find thousands."""
    search, checkout = variants("search", 25), variants("checkout", 25)
    assert sum(one != other for one, other in zip(search, checkout, strict=True)) > 10_000
