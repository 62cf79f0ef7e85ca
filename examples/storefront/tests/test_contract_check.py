"""What contract_check says of the storefront, whole and with one item of the application contract left out."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.gradual.rollout.plugins.module_utils.application import asking
from ansible_collections.gradual.rollout.plugins.module_utils.application.contract import Expected, Finding

from examples.storefront.tests.less import REMOVALS, Removal, serving_less
from examples.storefront.tests.support import FEATURES, Service

PAGE = Path(__file__).resolve().parents[3] / "docs" / "contract-check.md"
HEAD = """| what is left out | severity | state | got | consequence |
|---|---|---|---|---|"""
NOTHING = Removal("nothing", "")


def check(shop: Service, removal: Removal, patience: float = 0) -> list[Finding]:
    with serving_less(shop.port, removal) as address:
        return asking.check(address, Expected(features=FEATURES), patience=patience)


def row(removal: Removal, findings: list[Finding]) -> str:
    """A row of the page's table: what is left out, and what is said of the item. What differs from run to run is left
    out."""
    found = next(each for each in findings if each["item"] == removal.item)
    got = found["got"]
    if not got.startswith("status "):
        got = re.sub(r"buckets .*", "buckets …", re.sub(r"\{.*", "{…", re.sub(r"\d+(\.\d+)?", "N", got)))
    return f"| {removal.name} | {found['severity']} | {found['state']} | {got} | {found['consequence']} |"


def test_the_storefront_has_every_item(shop: Service) -> None:
    findings = check(shop, NOTHING, patience=10)
    # A busy machine answers late.
    assert [each for each in findings if each["state"] not in ("ok", "slow")] == []
    assert {removal.item for removal in REMOVALS} == {each["item"] for each in findings}, "an item is never left out"


def test_each_item_that_is_left_out_is_named_as_the_page_says(shop: Service) -> None:
    rows = []
    for removal in REMOVALS:
        findings = check(shop, removal)
        assert any(each["item"] == removal.item and each["state"] != "ok" for each in findings), removal.name
        rows.append(row(removal, findings))
    table = "\n".join([HEAD, *rows])
    assert table in PAGE.read_text(), f"{PAGE} needs this table:\n{table}"
