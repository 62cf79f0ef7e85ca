# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Claims about what was seen from outside: traffic, features by variant, smoke tests, alerts and the dashboard."""

from __future__ import annotations

from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.ledger import epoch
from ansible_collections.gradual.rollout.plugins.module_utils.report.events import (
    Claim,
    Events,
    Line,
    claim,
    count,
    items,
    mapping,
    number,
    plural,
)

# The mission's figure for an average answer, in seconds, and how old the 5-minute health check may be.
MEAN_SECONDS = 0.5
HEALTH_CHECK_SECONDS = 600
FRONT_DOOR = "front door"
VARIANT_FIGURES = ("requests", "errors", "slow", "mean_seconds", "good", "bad", "orders")


def claims(events: Events) -> list[Claim]:
    """All claims of this file."""
    return [
        *traffic(events),
        by_variant(events),
        feedback(events),
        features_smoked(events),
        validated(events),
        alerts(events),
        dashboard(events),
        health_check(events),
        disturbed_hosts(events),
    ]


def traffic(events: Events) -> list[Claim]:
    """Requests at the front door during the rollout: how many failed, how slow they were."""
    line = events.last("traffic.observed")
    data = mapping(line["data"]) if line else {}
    requests, failed, slow = (count(data.get(key)) for key in ("requests", "failed", "slow"))
    mean = number(data.get("mean_seconds"))
    seen = requests if requests else None
    rows = (
        (
            "requests-failed",
            None if seen is None or failed is None else {"requests": seen, "failed": failed},
            f"{failed} of {seen or 0:,} requests at the front door failed during the rollout",
            failed == 0,
            (7,),
            ("reliability",),
            "traffic.observed: requests above 0, failed is 0",
        ),
        (
            "requests-slow",
            None if seen is None or slow is None else {"requests": seen, "slow": slow},
            f"{slow} of {seen or 0:,} requests were slow",
            slow is not None and seen is not None and slow <= 0.05 * seen,
            (7,),
            ("performance",),
            "traffic.observed: slow is at most 5 % of requests",
        ),
        (
            "mean-seconds",
            mean if seen is not None else None,
            f"an answer took {1000 * (mean or 0):.0f} ms on average; wanted: under {1000 * MEAN_SECONDS:.0f} ms",
            mean is not None and mean < MEAN_SECONDS,
            (7,),
            ("performance",),
            f"traffic.observed: mean_seconds is below {MEAN_SECONDS:g}",
        ),
    )
    return [
        claim(name, text, value, [line], rule, good=good, criteria=criteria, qualities=qualities, otherwise="no traffic was observed")
        for name, value, text, good, criteria, qualities, rule in rows
    ]


def variants(events: Events) -> dict[str, dict[str, dict[str, float | None]]]:
    """Figures by feature and variant: {feature: {"on": {requests, errors, slow, …}, "off": …}}; what was not observed is None."""
    line = events.last("traffic.observed")
    rows = [mapping(row) for row in items(line["data"].get("by_variant") if line else None)]
    found = {(row.get("feature"), row.get("variant")): row for row in rows}
    return {
        feature: {variant: {key: number(found.get((feature, variant), {}).get(key)) for key in VARIANT_FIGURES} for variant in ("on", "off")}
        for feature in events.features
        if (feature, "on") in found or (feature, "off") in found
    }


def by_variant(events: Events) -> Claim:
    """Was every feature watched, with requests of users with it and without it?"""
    if not events.features:
        return claim("watched", "this release has no features to watch", None, [], "manifest.features is empty", good=None, criteria=(3,))
    line, seen = events.last("traffic.observed"), variants(events)
    went_on = bool(events.of("stage.set"))
    arms = ("on", "off") if went_on else ("off",)
    both = [flag for flag in events.features if all((seen.get(flag, {}).get(arm, {}).get("requests") or 0) > 0 for arm in arms)]
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
    line, seen = events.last("traffic.observed"), variants(events)
    counted = {
        flag: {variant: {key: arm[key] for key in ("good", "bad", "orders")} for variant, arm in arms.items()}
        for flag, arms in seen.items()
        if any(arm[key] is not None for arm in arms.values() for key in ("good", "bad", "orders"))
    }
    total = sum(value or 0 for arms in counted.values() for arm in arms.values() for value in arm.values())
    told = "; ".join(f"{flag}: {_opinions(arms['on'])} with it, {_opinions(arms['off'])} without" for flag, arms in counted.items())
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
    share = f"{100 * good / (good + bad):.0f} % of {good + bad:,.0f} content" if good is not None and bad is not None and good + bad else "no feedback"
    return share + ("" if orders is None else f", {orders:,.0f} orders")


def smoke_places(events: Events) -> list[dict[str, Any]]:
    """The last smoke test of each phase and place: {phase, where, passed, failed, names, seq}."""
    last: dict[tuple[str, str], Line] = {}
    for line in events.of("smoke.finished"):
        last[str(line["data"].get("phase")), str(line["data"].get("where"))] = line
    rows = []
    for (phase, where), line in sorted(last.items()):
        results = [mapping(result) for result in items(line["data"].get("results"))]
        good = [str(result.get("name")) for result in results if result.get("passed") is True]
        bad = [str(result.get("name")) for result in results if result.get("passed") is not True]
        rows.append({"phase": phase, "where": where, "passed": good, "failed": bad, "seq": line["seq"], "line": line})
    return rows


def features_smoked(events: Events) -> Claim:
    """Was each feature tried through the front door, with its flag on and off?"""
    wanted = {
        (flag, state): {str(mapping(probe).get("name")) for probe in items(mapping(feature).get("smoke")) if mapping(probe).get("flag", state) == state}
        for feature in items(events.manifest.get("features"))
        for flag in [str(mapping(feature).get("flag"))]
        for state in ("on", "off")
    }
    if not wanted:
        return claim("features-smoked", "this release has no features to try", None, [], "manifest.features is empty", good=None, criteria=(6,))
    places = [place for place in smoke_places(events) if place["where"] == FRONT_DOOR]
    passed = {(place["phase"], name) for place in places for name in place["passed"]}
    failed = {(place["phase"], name) for place in places for name in place["failed"]}
    done = sorted(f"{flag} {state}" for (flag, state), names in wanted.items() if names and all((state, name) in passed for name in names))
    missing = sorted(f"{flag} {state}" for flag, state in wanted if f"{flag} {state}" not in done)
    text = f"tried through the front door and right: {', '.join(done) or 'none'}"
    text += f"; not tried or wrong: {', '.join(missing)}" if missing else ""
    return claim(
        "features-smoked",
        text,
        {"right": done, "missing": missing, "failed": sorted(name for _phase, name in failed)} if failed or not missing else None,
        [place["line"] for place in places],
        "smoke.finished at the front door: each smoke test of each feature passed in the phase of its flag",
        good=not missing,
        criteria=(6,),
        qualities=("reliability",),
        otherwise=f"not tried through the front door: {', '.join(missing)}",
    )


def validated(events: Events) -> Claim:
    """Did all smoke tests pass after the last stage, on every host and through the front door?"""
    certified = events.last("stage.certified")
    since = certified["seq"] if certified else (events.of("host.admitted") or [{"seq": 0}])[-1]["seq"]
    places = [place for place in smoke_places(events) if place["seq"] > since]
    where = {place["where"] for place in places}
    released = {str(line["data"].get("host")) for line in events.of("host.released")}
    failed = sorted(f"{place['where']}: {name}" for place in places for name in place["failed"])
    missing = sorted((released | {FRONT_DOOR}) - where)
    tests = sum(len(place["passed"]) + len(place["failed"]) for place in places)
    text = f"{tests} smoke tests at {plural(len(where), 'place')} after the last stage, {len(failed)} failed"
    text += f" ({'; '.join(failed)})" if failed else ""
    text += f"; nothing was tried at {', '.join(missing)}" if missing else ""
    return claim(
        "validated",
        text,
        {"places": sorted(where), "tests": tests, "failed": failed, "missing": missing} if tests else None,
        [place["line"] for place in places],
        "smoke.finished after the last stage.certified: every host of host.released and the front door, none failed",
        good=bool(tests) and not failed and not missing,
        criteria=(9,),
        qualities=("reliability",),
        otherwise="no smoke test ran after the last stage",
    )


def _monitoring(events: Events) -> tuple[Line | None, dict[str, Any]]:
    line = events.last("monitoring.observed")
    return line, mapping(line["data"]) if line else {}


def alerts(events: Events) -> Claim:
    """Were alert rules loaded, and did the chain from Prometheus to Alertmanager live?"""
    line, data = _monitoring(events)
    rules, managers = count(data.get("rules")), count(data.get("alertmanagers"))
    live = data.get("watchdog") is True
    firing = [str(name) for name in items(data.get("firing"))]
    text = f"{rules} alert rules are evaluated, {plural(managers or 0, 'Alertmanager')} connected, the watchdog alert "
    text += ("fires" if live else "does NOT fire") + (f"; firing at the end: {', '.join(firing)}" if firing else "; no other alert fires")
    return claim(
        "alerts",
        text,
        {"rules": rules, "alertmanagers": managers, "watchdog": live, "firing": firing} if rules is not None else None,
        [line],
        "monitoring.observed: rules and alertmanagers above 0, watchdog is true",
        good=bool(rules) and bool(managers) and live,
        criteria=(4,),
        qualities=("reliability", "maintainability"),
        otherwise="alerts were not looked at in this rollout",
    )


def dashboard(events: Events) -> Claim:
    """Did every query of the dashboard return data from the live Prometheus?"""
    line, data = _monitoring(events)
    seen = mapping(data.get("dashboard"))
    queries, answered = count(seen.get("queries")), count(seen.get("answered"))
    silent = [str(title) for title in items(seen.get("silent"))]
    return claim(
        "dashboard",
        f"{answered} of {queries} queries of the dashboard return data" + (f"; silent: {', '.join(silent)}" if silent else ""),
        {"queries": queries, "answered": answered, "silent": silent} if queries and answered is not None else None,
        [line],
        "monitoring.observed: dashboard.answered equals dashboard.queries",
        good=queries == answered,
        criteria=(10,),
        qualities=("maintainability",),
        otherwise="the dashboard was not looked at in this rollout",
    )


def health_check(events: Events) -> Claim:
    """Has the 5-minute health check run lately?"""
    line, data = _monitoring(events)
    age = number(data.get("health_check_age_seconds"))
    return claim(
        "health-check",
        f"the 5-minute health check ran {age or 0:.0f} s before the end of the rollout",
        age,
        [line],
        f"monitoring.observed: health_check_age_seconds is below {HEALTH_CHECK_SECONDS}",
        good=age is not None and 0 <= age < HEALTH_CHECK_SECONDS,
        criteria=(4,),
        qualities=("reliability",),
        otherwise="the age of the health check was not looked at",
    )


def disturbed_hosts(events: Events) -> Claim:
    """Which hosts were lost on the way?"""
    lost = sorted({str(line["data"].get("host")) for line in events.of("host.lost")})
    touched = events.of("host.drained") + events.of("host.lost")
    return claim(
        "hosts-lost",
        f"lost on the way: {', '.join(lost)}" if lost else "no host was lost",
        lost if touched else None,
        touched,
        "host.lost, among the hosts of host.drained",
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
