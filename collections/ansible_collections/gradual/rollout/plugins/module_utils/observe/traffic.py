# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What users got during a rollout: requests and failures as the balancer counts them, times and features as the
application does.

Gradual's own requests (measuring, probes, checks) are in none of these figures. The balancer answers them by a backend
of their own, the application counts them by a route of their own; where one of them does not, `own_requests` or
`own_answered` is None and the figures hold them. A figure that nothing was measured for is None and has a sentence in
`not_measured`; it is never 0.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.flags import lint as flag_lint
from ansible_collections.gradual.rollout.plugins.module_utils.gate import metrics
from ansible_collections.gradual.rollout.plugins.module_utils.prometheus.client import (
    Prometheus,
    PrometheusError,
    Series,
    binned,
    matching,
    resets,
    steps,
)

POINTS = 120
DURATION = "http_request_duration_seconds"
FEATURE_DURATION = "feature_request_duration_seconds"
Json = t.Dict[str, t.Any]
Bins = t.Dict[int, float]


@dataclasses.dataclass
class Window:
    """Which time to look at, and where: jobs and frontends as Prometheus names them, times in seconds since the
    epoch. Requests on the `platform_routes` are not those of users."""

    since: float
    until: float
    features: t.Sequence[str]
    slow_seconds: float = 0.5
    job: str = "application"
    frontends: t.Sequence[str] = ("front_door",)
    probe_backends: t.Sequence[str] = ("application_probes",)
    platform_routes: t.Sequence[str] = metrics.PLATFORM

    @property
    def step(self) -> float:
        """Seconds of one point of a chart: whole ones, so that an increase is never read from half a scrape."""
        return max(1.0, -(-(self.until - self.since) // POINTS))

    def bin_time(self, index: int) -> float:
        return round(self.since + (index + 1) * self.step, 3)


def observe(prometheus: Prometheus, window: Window) -> Json:
    """The data of the event traffic.observed; when Prometheus does not answer, nothing was measured, and the data say
    so.

    Raises PrometheusError for a time that ends before it begins.
    """
    if window.until <= window.since:
        raise PrometheusError(f"since is {window.since:.0f}, which is not before until, {window.until:.0f}")
    try:
        return _measured(prometheus, window)
    except PrometheusError as error:
        unknown = dict.fromkeys(
            ("requests", "failed", "own_requests", "answered", "own_answered", "slow", "mean_seconds")
        )
        return {**_document(window), **unknown, "series": [], "by_variant": [], "not_measured": [str(error)]}


def _document(window: Window) -> Json:
    return {"since": window.since, "until": window.until, "step": window.step, "slow_seconds": window.slow_seconds}


def _measured(prometheus: Prometheus, window: Window) -> Json:
    missing: t.List[str] = []
    front = _front(prometheus, window, missing)
    times = _times(prometheus, window, missing)
    shares = _shares(prometheus, window)
    indexes = sorted(set(front["requests"]) | set(times["count"]))
    series = []
    for index in indexes:
        buckets = {bound: grown.get(index, 0.0) for bound, grown in times["buckets"].items()}
        series.append(
            {
                "time": window.bin_time(index),
                "requests": _whole(front["requests"].get(index)),
                "failed": _whole(front["failed"].get(index)),
                "p50": quantile(buckets, 0.5),
                "p95": quantile(buckets, 0.95),
                "share": shares.get(index),
            }
        )
    requests, failed = _total(front["requests"]), _total(front["failed"])
    count, seconds = _total(times["count"]), _total(times["seconds"])
    return {
        **_document(window),
        "requests": requests,
        "failed": failed if requests is not None else None,
        "own_requests": front["own"],
        "answered": count,
        "own_answered": times["own"],
        "slow": max(0, count - (_total(times["fast"]) or 0)) if count is not None and times["fast"] else None,
        "mean_seconds": round(sum(times["seconds"].values()) / count, 6) if count and seconds is not None else None,
        "series": series,
        "by_variant": _by_variant(prometheus, window, missing),
        "not_measured": missing,
    }


def _front(prometheus: Prometheus, window: Window, missing: t.List[str]) -> t.Dict[str, t.Any]:
    """Requests and failures of users per bin, from the balancer, and how many requests were Gradual's own (None: not
    known).

    A connection to a host that was tried again with success is no failure.
    """
    front, own = {"proxy": window.frontends}, {"proxy": window.probe_backends}
    requests, own_requests, failed, own_failed = (
        prometheus.series(name + matching(scope), window.since, window.until)
        for name, scope in (
            ("haproxy_frontend_http_requests_total", front),
            ("haproxy_backend_http_requests_total", own),
            ("haproxy_frontend_http_responses_total", {**front, "code": ["5xx"]}),
            ("haproxy_backend_http_responses_total", {**own, "code": ["5xx"]}),
        )
    )
    if not any(len(each.samples) > 1 for each in requests) or not failed:
        missing.append(
            "requests and failures: Prometheus has no haproxy_frontend_http_requests_total of the frontend"
            f" {' or '.join(window.frontends)}"
        )
    elif not any(len(each.samples) > 1 for each in own_requests):
        missing.append(
            "Gradual's own requests are counted among those of users: Prometheus has no"
            f" haproxy_backend_http_requests_total of the backend {' or '.join(window.probe_backends)}"
        )
    everything = [*requests, *own_requests, *failed, *own_failed]
    asked, ours, bad, our_bad = (
        _grown(found, window, everything) for found in (requests, own_requests, failed, own_failed)
    )
    return {
        "requests": _less(asked, ours),
        "failed": _less(bad, our_bad),
        "own": _whole(sum(ours.values())) if own_requests else None,
    }


def _less(bins: Bins, own: Bins) -> Bins:
    """Both are of the same scrapes of the same balancers, so that the difference is exact."""
    return {index: max(0.0, value - own.get(index, 0.0)) for index, value in bins.items()}


def _times(prometheus: Prometheus, window: Window, missing: t.List[str]) -> t.Dict[str, t.Any]:
    scope, own = (
        matching({"job": [window.job]}, {"route": [*window.platform_routes, metrics.PROBES]}),
        matching({"job": [window.job], "route": [metrics.PROBES]}),
    )
    sums = {
        part: prometheus.range(
            f"sum by (host, instance) ({DURATION}_{part}{scope})", window.since, window.until, window.step
        )
        for part in ("count", "sum")
    }
    buckets = prometheus.range(
        f"sum by (host, instance, le) ({DURATION}_bucket{scope})", window.since, window.until, window.step
    )
    probes = prometheus.range(
        f"sum by (host, instance) ({DURATION}_count{own})", window.since, window.until, window.step
    )
    bounds = sorted({bound for bound in (_bound(each) for each in buckets) if bound is not None})
    by_bound = {bound: _grown([each for each in buckets if _bound(each) == bound], window) for bound in bounds}
    if not sums["count"]:
        missing.append(f"times of answers: Prometheus has no {DURATION}_count of the job {window.job}")
    elif window.slow_seconds not in by_bound:
        missing.append(
            f"slow answers: {DURATION} has no bucket le={window.slow_seconds:g}, only"
            f" {', '.join(f'{bound:g}' for bound in bounds)}"
        )
    if sums["count"] and not probes:
        missing.append(
            f"Gradual's own requests are counted among the answers to users: {DURATION} has no route {metrics.PROBES}"
        )
    fast = by_bound.get(window.slow_seconds, {})
    return {
        "count": _grown(sums["count"], window),
        "seconds": _grown(sums["sum"], window),
        "fast": fast,
        "buckets": by_bound,
        "own": _whole(sum(_grown(probes, window).values())) if probes else None,
    }


def _shares(prometheus: Prometheus, window: Window) -> t.Dict[int, float]:
    """{bin: share of users, averaged over processes and features}, as the processes report what they evaluate."""
    scope = matching({"job": [window.job], "flag": window.features})
    found = (
        prometheus.range(f"avg(feature_flag_share{scope})", window.since, window.until, window.step)
        if window.features
        else []
    )
    return {
        int((at - window.since) // window.step) - 1: round(value, 4) for each in found for at, value in each.samples
    }


def _by_variant(prometheus: Prometheus, window: Window, missing: t.List[str]) -> t.List[Json]:
    """One entry a feature and variant: requests, errors, slow, mean_seconds, feedback and orders."""
    if not window.features:
        return []
    scope = {"job": [window.job], "feature": window.features}
    fast = {**scope, "le": sorted({f"{window.slow_seconds:g}", str(float(window.slow_seconds))})}
    wanted = {
        "requests": f"sum by (host, instance, feature, variant, outcome) (feature_requests_total{matching(scope)})",
        "answers": f"sum by (host, instance, feature, variant) ({FEATURE_DURATION}_count{matching(scope)})",
        "seconds": f"sum by (host, instance, feature, variant) ({FEATURE_DURATION}_sum{matching(scope)})",
        "fast": f"sum by (host, instance, feature, variant) ({FEATURE_DURATION}_bucket{matching(fast)})",
        "feedback": f"sum by (host, instance, feature, variant, opinion) (feature_feedback_total{matching(scope)})",
        "orders": f"sum by (host, instance, feature, variant) (feature_orders_total{matching(scope)})",
    }
    found = {
        name: prometheus.range(expression, window.since, window.until, window.step)
        for name, expression in wanted.items()
    }
    rows = []
    for feature in window.features:
        for variant in ("on", "off"):

            def sum_of(name: str, **labels: str) -> t.Optional[float]:
                keys = {"feature": feature, **labels}  # noqa: B023 - called within this turn of the loop
                of_arm = [each for each in found[name] if _arm(each.labels.get("variant", "")) == variant]  # noqa: B023
                chosen = [each for each in of_arm if all(each.labels.get(key) == value for key, value in keys.items())]
                return sum(_grown(chosen, window).values()) if any(len(each.samples) > 1 for each in chosen) else None

            answers, quick, seconds = sum_of("answers"), sum_of("fast"), sum_of("seconds")
            rows.append(
                {
                    "feature": feature,
                    "variant": variant,
                    "requests": _whole(sum_of("requests")),
                    "errors": _whole(sum_of("requests", outcome="error")),
                    "slow": _whole(max(0.0, answers - quick)) if answers is not None and quick is not None else None,
                    "mean_seconds": round(seconds / answers, 6) if seconds is not None and answers else None,
                    "good": _whole(sum_of("feedback", opinion="good")),
                    "bad": _whole(sum_of("feedback", opinion="bad")),
                    "orders": _whole(sum_of("orders")),
                }
            )
        if all(row["requests"] is None for row in rows[-2:]):
            missing.append(f"{feature}: Prometheus has no feature_requests_total of it")
    return rows


def _arm(variant: str) -> str:
    """A user of the A/A stage is one without the feature, whatever the stage that shows it."""
    return "off" if flag_lint.AA.match(variant) else variant


def _grown(found: t.Sequence[Series], window: Window, witnesses: t.Sequence[Series] = ()) -> Bins:
    """{bin: increase} over all series; what began anew on a host did so for all of its series, the `witnesses`
    included."""
    sums: Bins = {}
    known = witnesses or found
    hosts = {each.labels.get("instance", "") for each in known}
    anew = {host: resets(each for each in known if each.labels.get("instance", "") == host) for host in hosts}
    for each in found:
        for index, increase in binned(
            steps(each.samples, anew[each.labels.get("instance", "")]), window.since, window.step
        ).items():
            last = min(index, int((window.until - window.since) // window.step))
            sums[last] = sums.get(last, 0.0) + increase
    return sums


def _bound(series: Series) -> t.Optional[float]:
    try:
        return float(series.labels.get("le", ""))
    except ValueError:
        return None


def quantile(buckets: t.Mapping[float, float], share: float) -> t.Optional[float]:
    """A quantile in seconds from {upper bound: requests at or under it}, straight within its bucket; for charts, never
    for a decision.

    None without requests, and the highest finite bound when it lies beyond it.
    """
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    rank, lower, below = share * total, 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank:
            if bound == float("inf"):
                break
            inside = buckets[bound] - below
            return round(lower + (bound - lower) * ((rank - below) / inside if inside > 0 else 1.0), 4)
        lower, below = bound, buckets[bound]
    return round(lower, 4)


def _whole(value: t.Optional[float]) -> t.Optional[int]:
    return None if value is None else round(value)


def _total(bins: Bins) -> t.Optional[int]:
    return round(sum(bins.values())) if bins else None
