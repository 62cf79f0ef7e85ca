"""A shop whose counters a Prometheus of the tests' own has recorded in many ways: each scenario is a job of its own."""

from __future__ import annotations

import math
import pathlib
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.gate import look as gate_look
from ansible_collections.gradual.rollout.plugins.module_utils.gate.stage import Stage
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import Prometheus

from .history import START, Change, History, arm, prometheus

SECONDS = 120
ORDERS = {
    "name": "orders",
    "counter": "feature_orders_total",
    "labels": {"kind": "gift"},
    "harm": "fewer",
    "role": "signal",
    "weight": 2,
}
Json = dict[str, t.Any]


def shop(on: Json | None = None, off: Json | None = None, features: tuple[str, ...] = ("search",)) -> dict[str, float]:
    grown: dict[str, float] = {}
    for feature in features:
        grown |= arm(feature, "on", **{"requests": 5, **(on or {})}) | arm(
            feature, "off", **{"requests": 15, **(off or {})}
        )
    return grown


def steady(_second: int) -> dict[str, float]:
    return shop()


def without(key: str) -> Change:
    return lambda second: {name: by for name, by in shop().items() if key not in name}


def erring_from(second_from: int) -> Change:
    return lambda second: shop({"errors": 1 if second >= second_from else 0})


def incident(second: int) -> dict[str, float]:
    bad = 40 <= second < 60
    return shop({"errors": 3 if bad else 0}, {"errors": 9 if bad else 0})


def restarted(second: int) -> dict[str, float]:
    return shop() | ({"up": 0.0} if second == 50 else {})


def silent_between(start: int, end: int) -> Change:
    return lambda second: None if start <= second < end else shop()


def marked_between(mark: str, start: int, end: int) -> Change:
    return lambda second: shop() | ({mark: 1.0} if start <= second < end else {})


def no_number_between(start: int, end: int) -> Change:
    """The counter of errors with the feature is NaN."""
    key = next(name for name in shop() if 'variant="on"' in name and "error" in name)
    return lambda second: shop() | ({key: math.nan} if start <= second < end else {})


def calibrated(second: int) -> dict[str, float]:
    """Up to second 50 the features are off and the users of each stage are told apart; those of 25 % have an error a
    second all the time."""
    off, on = second < 50, second >= 50
    return (
        arm("search", "aa25", requests=5 * off, errors=off)
        | arm("search", "aa50", requests=6 * off)
        | arm("search", "off", requests=10 + 6 * on)
        | arm("search", "on", requests=5 * on, errors=on)
    )


def ordering(_second: int) -> dict[str, float]:
    count = 'feature_orders_total{{feature="search",kind="{kind}",variant="{variant}"}}'
    return shop() | {
        count.format(kind=kind, variant=variant): by
        for variant, by in (("on", 1), ("off", 20))
        for kind in ("gift", "plain")
    }


def hosted(failed: float, slow: float, from_second: int = 0) -> Change:
    """All requests of a host; the series of what fails is born with the first failure."""

    def change(second: int) -> dict[str, float]:
        grown = {f'http_requests_total{{method="GET",route="{route}",status="200"}}': 4.0 for route in ("/", "/cart")}
        grown |= {
            'http_request_duration_seconds_count{route="/"}': 8.0,
            'http_request_duration_seconds_bucket{route="/",le="0.5"}': 8.0 - slow,
        }
        for route in ("/readyz", "/metrics", "gradual-probe"):  # what no user asks for counts for neither arm
            grown |= {
                f'http_requests_total{{method="GET",route="{route}",status="{status}"}}': 5.0
                for status in ("200", "503")
            }
            grown |= {
                f"http_request_duration_seconds_{part}": 7.0
                for part in (f'count{{route="{route}"}}', f'bucket{{route="{route}",le="0.5"}}')
            }
        if failed and second >= from_second:
            grown |= {'http_requests_total{method="GET",route="/",status="500"}': failed}
        return grown

    return change


SCENARIOS: dict[str, dict[str, Change]] = {
    "good": {"app1": steady, "app2": steady},
    "erring": {"app1": erring_from(30), "app2": erring_from(30)},
    "slow": {"app1": lambda _second: shop({"slow": 2}), "app2": steady},
    "incident": {"app1": incident, "app2": incident},
    "restarted": {"app1": restarted, "app2": steady},
    "gap": {"app1": silent_between(40, 60), "app2": steady},
    "missed": {"app1": marked_between("missed", 40, 60), "app2": steady},
    "missed-once": {"app1": marked_between("missed", 40, 41), "app2": steady},
    "missed-everywhere": {"app1": marked_between("missed", 40, 44), "app2": marked_between("missed", 40, 44)},
    "asleep": {"app1": marked_between("asleep", 40, 44), "app2": marked_between("asleep", 40, 44)},
    "asleep-for-long": {"app1": marked_between("asleep", 40, SECONDS), "app2": marked_between("asleep", 40, SECONDS)},
    "no-number": {"app1": no_number_between(40, 60), "app2": steady},
    "stopped": {"app1": silent_between(50, SECONDS), "app2": steady},
    "never": {"app1": silent_between(0, SECONDS), "app2": steady},
    "all-stopped": {"app1": silent_between(50, SECONDS), "app2": silent_between(50, SECONDS)},
    "no-error-series": {"app1": without('outcome="error"'), "app2": steady},
    "no-bucket": {"app1": without('le="0.5"'), "app2": without('le="0.5"')},
    "no-control": {"app1": without('variant="off"'), "app2": without('variant="off"')},
    "another-host": {"app1": steady, "app2": lambda _second: {"process_cpu_seconds_total": 1.0}},
    "idle": {"app1": lambda _second: shop({"requests": 0}, {"requests": 0})},
    "everybody": {
        "app1": lambda _second: shop({"requests": 20}, {"requests": 0}),
        "app2": lambda _second: shop({"requests": 20}, {"requests": 0}),
    },
    "calibrated": {"app1": calibrated, "app2": calibrated},
    "ordering": {"app1": ordering, "app2": ordering},
    "canary": {"app1": hosted(1, 2, from_second=30), "app2": hosted(0, 1), "app3": hosted(0, 0), "app4": hosted(8, 8)},
}


def recorded(folder: pathlib.Path) -> t.ContextManager[str]:
    """The address of a Prometheus that has seen all scenarios, while it runs."""
    history = History()
    for job, hosts in SCENARIOS.items():
        for number, (host, change) in enumerate(hosts.items()):
            history.host(job, host, change, SECONDS, first=shop() if job == "good" else None, shift=0.37 * number)
    history.write(folder)
    return prometheus(folder)


def counted(address: str, job: str, at: float, percent: int = 25, since: float = 5.2, **more: t.Any) -> Json:
    options: Json = {"features": ["search"], **more}
    counts, _past = gate_look.collect(
        Prometheus(address, 5),
        Stage(percent=percent, since=START + since, until=START + at, slow_seconds=0.5, job=job, **options),
    )
    return counts
