# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Claims about traffic: what users got, with and without the features, and which hosts were lost on the way."""

from __future__ import annotations

from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import epoch
from ansible_collections.gradual.rollout.plugins.module_utils.report.events import (
    Claim,
    Events,
    claim,
    count,
    items,
    mapping,
    number,
    plural,
)

# What an answer may take on average, in seconds.
MEAN_SECONDS = 0.5
VARIANT_FIGURES = ("requests", "errors", "slow", "mean_seconds", "good", "bad", "orders")


def claims(events: Events) -> list[Claim]:
    """All claims of this file."""
    return [*traffic(events), by_variant(events), feedback(events), disturbed_hosts(events)]


def traffic(events: Events) -> list[Claim]:
    """Requests of users at the front door during the rollout: how many failed, how slow they were."""
    line = events.last("traffic.observed")
    data = mapping(line["data"]) if line else {}
    requests, failed, slow = (count(data.get(key)) for key in ("requests", "failed", "slow"))
    mean = number(data.get("mean_seconds"))
    seen = requests if requests else None
    own, own_answered = (count(data.get(key)) for key in ("own_requests", "own_answered"))
    left_out = (
        f"; Gradual's own {own:,} are not among them"
        if own is not None
        else "; Gradual's own are among them: the balancer does not count them apart"
    )
    among = (
        ""
        if own_answered is not None
        else "; Gradual's own requests are among them: the application does not count them apart"
    )
    rows = (
        (
            "requests-failed",
            None if seen is None or failed is None else {"requests": seen, "failed": failed, "own": own},
            f"{failed} of {seen or 0:,} requests of users at the front door failed during the rollout{left_out}",
            failed == 0,
            (7,),
            ("reliability",),
            "traffic.observed: requests above 0, failed is 0",
        ),
        (
            "requests-slow",
            None if seen is None or slow is None else {"requests": seen, "slow": slow},
            f"{slow} of {seen or 0:,} requests of users were slow{among}",
            slow is not None and seen is not None and slow <= 0.05 * seen,
            (7,),
            ("performance",),
            "traffic.observed: slow is at most 5 % of requests",
        ),
        (
            "mean-seconds",
            mean if seen is not None else None,
            f"an answer took {1000 * (mean or 0):.0f} ms on average; wanted: under {1000 * MEAN_SECONDS:.0f} ms{among}",
            mean is not None and mean < MEAN_SECONDS,
            (7,),
            ("performance",),
            f"traffic.observed: mean_seconds is below {MEAN_SECONDS:g}",
        ),
    )
    unknown = {
        "requests-failed": "how many requests of users failed",
        "requests-slow": "how many requests of users were slow",
        "mean-seconds": "how long users waited for an answer",
    }
    return [
        claim(
            name,
            text,
            value,
            [line],
            rule,
            good=good,
            criteria=criteria,
            qualities=qualities,
            otherwise=f"{unknown[name]}, for no traffic was observed",
        )
        for name, value, text, good, criteria, qualities, rule in rows
    ]


def variants(events: Events) -> dict[str, dict[str, dict[str, float | None]]]:
    """Figures by feature and variant: {feature: {"on": {requests, errors, slow, …}, "off": …}}; what was not observed
    is None."""
    line = events.last("traffic.observed")
    rows = [mapping(row) for row in items(line["data"].get("by_variant") if line else None)]
    found = {(row.get("feature"), row.get("variant")): row for row in rows}
    return {
        feature: {
            variant: {key: number(found.get((feature, variant), {}).get(key)) for key in VARIANT_FIGURES}
            for variant in ("on", "off")
        }
        for feature in events.features
        if (feature, "on") in found or (feature, "off") in found
    }


def by_variant(events: Events) -> Claim:
    """Was every feature watched, with requests of users with it and without it?"""
    if not events.features:
        return claim(
            "watched",
            "this release has no features to watch",
            None,
            [],
            "manifest.features is empty",
            good=None,
            criteria=(3,),
        )
    line, seen = events.last("traffic.observed"), variants(events)
    went_on = bool(events.of("stage.set"))
    arms = ("on", "off") if went_on else ("off",)
    both = [
        flag
        for flag in events.features
        if all((seen.get(flag, {}).get(arm, {}).get("requests") or 0) > 0 for arm in arms)
    ]
    told = "; ".join(f"{flag}: {_arms(seen[flag])}" for flag in events.features if flag in seen)
    return claim(
        "watched",
        f"{plural(len(both), 'feature')} of {len(events.features)} watched in Prometheus by variant: {told}",
        {"features": len(events.features), "watched": both, "figures": seen} if seen else None,
        [line],
        f"traffic.observed: by_variant has requests with {' and '.join(arms)} for each feature",
        good=len(both) == len(events.features),
        criteria=(3,),
        qualities=("performance", "reliability"),
        otherwise="no traffic was observed by variant",
    )


def _arms(arms: dict[str, dict[str, float | None]]) -> str:
    parts = []
    for variant, label in (("on", "with it"), ("off", "without")):
        seen = arms[variant]
        errors = "unknown" if seen["errors"] is None else f"{seen['errors']:,.0f}"
        parts.append(f"{label} {seen['requests'] or 0:,.0f} requests, {errors} errors")
    return ", ".join(parts)


def feedback(events: Events) -> Claim:
    """Was what users said, and what they bought, counted for those with and without the feature?"""
    if not events.features:
        none = "this release has no features whose users could be compared with others"
        return claim("feedback", none, None, [], "manifest.features is empty", good=None, criteria=(7,))
    line, seen = events.last("traffic.observed"), variants(events)
    counted = {
        flag: {variant: {key: arm[key] for key in ("good", "bad", "orders")} for variant, arm in arms.items()}
        for flag, arms in seen.items()
        if any(arm[key] is not None for arm in arms.values() for key in ("good", "bad", "orders"))
    }
    total = sum(value or 0 for arms in counted.values() for arm in arms.values() for value in arm.values())
    told = "; ".join(
        f"{flag}: {_opinions(arms['on'])} with it, {_opinions(arms['off'])} without" for flag, arms in counted.items()
    )
    return claim(
        "feedback",
        f"feedback and orders by variant: {told}",
        counted if counted and total > 0 else None,
        [line],
        "traffic.observed: good, bad and orders of by_variant, more than 0 in all",
        criteria=(7,),
        otherwise="no feedback and no order was counted by variant",
    )


def _opinions(arm: dict[str, float | None]) -> str:
    good, bad, orders = (arm[key] for key in ("good", "bad", "orders"))
    share = (
        f"{100 * good / (good + bad):.0f} % of {good + bad:,.0f} content"
        if good is not None and bad is not None and good + bad
        else "no feedback"
    )
    return share + ("" if orders is None else f", {orders:,.0f} orders")


def disturbed_hosts(events: Events) -> Claim:
    """Which hosts were lost on the way?"""
    lost = sorted({str(line["data"].get("host")) for line in events.of("host.lost")})
    touched = events.of("host.drained") + events.of("host.released") + events.of("host.lost")
    return claim(
        "hosts-lost",
        f"lost on the way: {', '.join(lost)}" if lost else "no host was lost",
        lost if touched else None,
        touched,
        "host.lost, among the hosts of host.drained and host.released",
        good=not lost,
        qualities=("reliability",),
        otherwise="no host was touched",
    )


def moment(value: Any) -> float | None:
    """A time of the record, epoch seconds or ISO, as epoch seconds."""
    if isinstance(value, str):
        try:
            return epoch(value)
        except ValueError:
            return None
    return number(value)
