# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Claims about what was tried and looked at: smoke tests, alerts, dashboard, health check, and what strangers can
see."""

from __future__ import annotations

import re
from typing import Any

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
from ansible_collections.gradual.rollout.plugins.module_utils.report.rollback import nothing_before

# How old the 5-minute health check may be, in seconds.
HEALTH_CHECK_SECONDS = 600
FRONT_DOOR = "front door"
REFUSALS = (401, 403)
# Metrics on the dashboard that an application may leave out: what its users say and do, and its own view of its errors
# and of its database.
LEFT_OUT = ("feature_feedback_total", "feature_orders_total", "unhandled_errors_total", "database_pool_connections")


def claims(events: Events) -> list[Claim]:
    """All claims of this file."""
    return [
        features_smoked(events),
        validated(events),
        alerts(events),
        dashboard(events),
        health_check(events),
        headers(events),
        closed(events),
        strangers(events),
    ]


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
        (flag, state): {
            str(mapping(probe).get("name"))
            for probe in items(mapping(feature).get("smoke"))
            if mapping(probe).get("flag", state) == state
        }
        for feature in items(events.manifest.get("features"))
        for flag in [str(mapping(feature).get("flag"))]
        for state in ("on", "off")
    }
    if not wanted:
        return claim(
            "features-smoked",
            "this release has no features to try",
            None,
            [],
            "manifest.features is empty",
            good=None,
            criteria=(6,),
        )
    places = [place for place in smoke_places(events) if place["where"] == FRONT_DOOR]
    passed = {(place["phase"], name) for place in places for name in place["passed"]}
    failed = {(place["phase"], name) for place in places for name in place["failed"]}
    done = sorted(
        f"{flag} {state}"
        for (flag, state), names in wanted.items()
        if names and all((state, name) in passed for name in names)
    )
    missing = sorted(f"{flag} {state}" for flag, state in wanted if f"{flag} {state}" not in done)
    text = f"tried through the front door and right: {', '.join(done) or 'none'}"
    text += f"; not tried or wrong: {', '.join(missing)}" if missing else ""
    return claim(
        "features-smoked",
        text,
        (
            {"right": done, "missing": missing, "failed": sorted(name for _phase, name in failed)}
            if failed or not missing
            else None
        ),
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
    live, delivered = data.get("watchdog") is True, count(data.get("delivered"))
    firing = [str(name) for name in items(data.get("firing"))]
    text = f"{rules} alert rules are evaluated, {plural(managers or 0, 'Alertmanager')} connected, the watchdog alert "
    text += (
        "fires" if live else "does NOT fire"
    ) + f", {'no' if delivered is None else delivered} notifications delivered"
    text += f"; firing at the end: {', '.join(firing)}" if firing else "; no other alert fires"
    return claim(
        "alerts",
        text,
        (
            {"rules": rules, "alertmanagers": managers, "watchdog": live, "delivered": delivered, "firing": firing}
            if rules is not None
            else None
        ),
        [line],
        "monitoring.observed: rules, alertmanagers and delivered above 0, watchdog is true",
        good=bool(rules) and bool(managers) and bool(delivered) and live,
        criteria=(4,),
        qualities=("reliability", "maintainability"),
        otherwise="alerts were not looked at in this rollout",
    )


def dashboard(events: Events) -> Claim:
    """Did every query of the dashboard return data from the live Prometheus, as far as there can be data yet?"""
    line, data = _monitoring(events)
    seen = mapping(data.get("dashboard"))
    queries, answered = count(seen.get("queries")), count(seen.get("answered"))
    silent = [str(title) for title in items(seen.get("silent"))]
    missing = [title for title in silent if not _later(events, title)]
    later = len(silent) - len(missing)
    return claim(
        "dashboard",
        f"{answered} of {queries} queries of the dashboard return data"
        + (
            f"; {later} have data only while a release with features runs, with a database, with metrics that an"
            " application may leave out, or after the next health check"
            if later
            else ""
        )
        + (f"; without data: {', '.join(missing)}" if missing else ""),
        {"queries": queries, "answered": answered, "silent": silent} if queries and answered is not None else None,
        [line],
        "monitoring.observed: every query of dashboard.silent is of features, and the manifest has none or a"
        " host.returned says that the release of before runs again, of a database, and"
        f" manifest.backup.method is none, of {', '.join(LEFT_OUT)}, or of the health check of a first release",
        good=answered is not None and queries == answered + len(silent) and not missing,
        criteria=(10,),
        qualities=("maintainability",),
        otherwise="the dashboard was not looked at in this rollout",
    )


def _later(events: Events, query: str) -> bool:
    """Whether there can be no data: the release that was put back may have no features, and the health check asks a
    first release up to five minutes after its start."""
    return (
        ("feature_" in query and (not events.features or events.first("host.returned") is not None))
        or (re.search(r"\bpg_", query) is not None and not events.has_database)
        or any(metric in query for metric in LEFT_OUT)
        or ("gradual_health_check_" in query and nothing_before(events))
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


def headers(events: Events) -> Claim:
    """Do answers at the front door carry the security headers?"""
    line, data = _monitoring(events)
    seen = mapping(data.get("front_door"))
    there, missing = ([str(name) for name in items(seen.get(key))] for key in ("headers", "headers_missing"))
    return claim(
        "headers",
        f"answers at the front door carry {', '.join(there) or 'no security header'}"
        + (f"; missing: {', '.join(missing)}" if missing else ""),
        {"there": there, "missing": missing} if there or missing else None,
        [line],
        "monitoring.observed: front_door.headers_missing is empty",
        good=bool(there) and not missing,
        qualities=("security",),
        otherwise="the headers of the front door were not looked at",
    )


def closed(events: Events) -> Claim:
    """Is what is for the fleet's own eyes closed to strangers?"""
    line, data = _monitoring(events)
    seen = mapping(data.get("front_door"))
    shut, open_ = ([str(path) for path in items(seen.get(key))] for key in ("internal_closed", "internal_open"))
    return claim(
        "closed",
        f"closed to strangers: {', '.join(shut) or 'nothing'}" + (f"; OPEN: {', '.join(open_)}" if open_ else ""),
        {"closed": shut, "open": open_} if shut or open_ else None,
        [line],
        "monitoring.observed: front_door.internal_open is empty",
        good=bool(shut) and not open_,
        qualities=("security",),
        otherwise="nobody tried to reach what is for the fleet's own eyes",
    )


def strangers(events: Events) -> Claim:
    """Are users who have not signed in refused where they should be, by the manifest's own smoke tests?"""
    wanted = {
        str(probe.get("name"))
        for probe in map(mapping, items(events.manifest.get("smoke")))
        if count(probe.get("status")) in REFUSALS
    }
    places = [
        place
        for place in smoke_places(events)
        if place["where"] == FRONT_DOOR and wanted & {*place["passed"], *place["failed"]}
    ]
    passed = {name for place in places for name in place["passed"]} & wanted
    failed = {name for place in places for name in place["failed"]} & wanted
    return claim(
        "strangers",
        f"who has not signed in is refused: {', '.join(sorted(passed)) or 'nowhere'}"
        + (f"; NOT at: {', '.join(sorted(failed))}" if failed else ""),
        {"passed": sorted(passed), "failed": sorted(failed)} if places else None,
        [place["line"] for place in places],
        "smoke.finished at the front door: the tests of the manifest that want 401 or 403 passed",
        good=not failed and passed == wanted,
        qualities=("security",),
        otherwise="the manifest has no smoke test that wants 401 or 403, or none was run at the front door",
    )
