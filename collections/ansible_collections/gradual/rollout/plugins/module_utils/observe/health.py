# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Is anybody watching? Alert rules, Alertmanager, dashboard, health check, and what the front door shows to strangers.

A figure that could not be read is None or left out, and has a sentence in `not_measured`; it is never 0.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.common.http import HttpError, Session
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Prometheus, PrometheusError

WATCHDOG = "Watchdog"
FIRING = 'ALERTS{alertstate="firing"}'
# Seconds between two questions while alerts are waited for; Prometheus evaluates its rules every few seconds.
CALM_POLL = 2.0
HEALTH_CHECK = "gradual_health_check_last_run_timestamp_seconds"
HEADERS = (
    "content-security-policy",
    "strict-transport-security",
    "x-content-type-options",
    "x-frame-options",
    "referrer-policy",
)
INTERNAL = ("/healthz", "/readyz", "/version", "/metrics")


def queries(dashboard: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(title of the panel, expression) of every query of a dashboard in Grafana's classic form, panels of closed rows
    included."""
    found: list[tuple[str, str]] = []
    for panel in dashboard.get("panels") or []:
        found += queries(panel)
        title = str(panel.get("title") or "without a title")
        found += [(title, str(target["expr"])) for target in panel.get("targets") or [] if target.get("expr")]
    return found


def answered(prometheus: Prometheus, dashboard: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Run every query: {"panels", "queries", "answered", "silent": ["title: expression" …]}; a query answers with at
    least one series."""
    wanted = queries(dashboard)
    silent = []
    for title, expression in wanted:
        try:
            seen = prometheus.query(expression, now)
        except PrometheusError as error:
            silent.append(f"{title}: {expression}: {error}")
            continue
        if not seen:
            silent.append(f"{title}: {expression}")
    return {
        "panels": len({title for title, _expression in wanted}),
        "queries": len(wanted),
        "answered": len(wanted) - len(silent),
        "silent": silent,
    }


def watch(prometheus: Prometheus, dashboard: Mapping[str, Any] | None, now: float) -> dict[str, Any]:
    """The data of the event monitoring.observed, without the front door."""
    missing: list[str] = []
    result: dict[str, Any] = {
        "rules": _count(prometheus, "rules", missing),
        "alertmanagers": _count(prometheus, "alertmanagers", missing),
        "watchdog": None,
        "firing": [],
        "critical": None,
        "delivered": None,
        "health_check_age_seconds": None,
        "dashboard": None,
        "not_measured": missing,
    }
    try:
        alerts = [
            (labels.get("alertname", "?"), labels.get("severity")) for labels, _value in prometheus.values(FIRING, now)
        ]
        firing = sorted({name for name, _severity in alerts})
        result.update(watchdog=WATCHDOG in firing, firing=[name for name in firing if name != WATCHDOG])
        result["critical"] = sorted({name for name, severity in alerts if severity == "critical"})
        result["delivered"] = _number(
            prometheus, "sum(alertmanager_notifications_total) - sum(alertmanager_notifications_failed_total)", now
        )
        result["health_check_age_seconds"] = _number(prometheus, f"{now:.3f} - min({HEALTH_CHECK})", now)
    except PrometheusError as error:
        missing.append(str(error))
        return result
    if result["health_check_age_seconds"] is None:
        missing.append(f"health check: Prometheus has no {HEALTH_CHECK}")
    if dashboard is None:
        missing.append("dashboard: there is none to look at")
    else:
        result["dashboard"] = answered(prometheus, dashboard, now)
    return result


def calm(
    prometheus: Prometheus,
    accepted: Sequence[str],
    within: float,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Wait until no critical alert fires that nobody has accepted, at most `within` seconds; return the seconds.

    An alert fires on for as long as its expression looks back, so one whose cause is gone ends by itself. Pending
    alerts do not count. A Prometheus that does not answer is asked again.
    """
    began = clock()
    while True:
        now = clock()
        try:
            firing = [labels for labels, _value in prometheus.values(FIRING, now)]
            if all(labels.get("alertname") in accepted for labels in firing if labels.get("severity") == "critical"):
                break
        except PrometheusError:
            pass
        if now - began >= within:
            break
        sleep(min(CALM_POLL, within - (now - began)))
    return round(clock() - began, 3)


def alarm(monitoring: Mapping[str, Any], accepted: Sequence[str] = (), waited: float = 0) -> str:
    """Why no rollout should begin just now, or "": a critical alert fires that nobody has accepted, or nobody can tell.

    waited: for how many seconds it was waited for the alerts to end."""
    critical = monitoring.get("critical")
    if critical is None:
        reason = "; ".join(monitoring.get("not_measured") or ["Prometheus was not asked"])
        return f"It is not known whether an alert fires: {reason}. Mend the monitoring first."
    loud = [name for name in critical if name not in accepted]
    if not loud:
        return ""
    names = ", ".join(f'"{name}"' for name in loud)
    fires = ("fires" if len(loud) == 1 else "fire") + (f", still after {waited:.0f} s" if waited else "")
    return (
        f"A rollout does not begin while something is wrong: {', '.join(loud)} {fires}. See docs/runbooks/{loud[0]}.md."
        f" Where this release is the cure: -e '{{\"preflight_accepted_alerts\": [{names}]}}'"
    )


def front_door(url: str, ca_path: str | None, internal: Sequence[str] = INTERNAL) -> dict[str, Any]:
    """What a stranger sees: {"headers": [names], "headers_missing": [names], "internal_closed": [paths],
    "internal_open": [paths]}; HttpError when shut."""
    with Session(url, ca_path=ca_path, as_user=True) as session:
        seen = session.request("GET", "/").headers
        statuses = {path: session.request("GET", path).status for path in internal}
    return {
        "headers": [name for name in HEADERS if name in seen],
        "headers_missing": [name for name in HEADERS if name not in seen],
        "internal_closed": [path for path, status in statuses.items() if status in (401, 403, 404)],
        "internal_open": [path for path, status in statuses.items() if status not in (401, 403, 404)],
    }


def _number(prometheus: Prometheus, expression: str, now: float) -> float | None:
    values = [value for _labels, value in prometheus.values(expression, now) if value is not None]
    return round(values[0], 3) if values else None


def _count(prometheus: Prometheus, what: str, missing: list[str]) -> int | None:
    """How many alert rules Prometheus evaluates, or how many Alertmanagers it is connected to."""
    try:
        with Session(prometheus.url, timeout=prometheus.timeout) as session:
            data = session.request("GET", f"/api/v1/{what}").json()["data"]
        if what == "alertmanagers":
            return len(data["activeAlertmanagers"])
        return len([rule for group in data["groups"] for rule in group["rules"] if rule.get("type") == "alerting"])
    except (HttpError, ValueError, KeyError, TypeError) as error:
        missing.append(f"{what}: {error}")
        return None
