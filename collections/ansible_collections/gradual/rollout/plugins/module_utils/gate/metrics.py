# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What a gate judges: the errors and the slow answers of each feature, and the business counters that the manifest
names. Pure.

A metric is made of parts, and a part is what one selector finds with the same meaning: answers that went well, errors,
timed answers, fast ones, or a business counter. Users are told apart by the label `variant`, hosts by the label `host`.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import GateError

OK, ERROR, ANSWERS, FAST = "ok", "error", "answers", "fast"
# What canary hosts show is no single feature.
RELEASE = "release"
# Routes that balancer, Prometheus and Gradual ask each host for by themselves: no user waits for the answer.
PLATFORM = ("/healthz", "/readyz", "/version", "/metrics")
# The route by which the application counts every request that carries the header of Gradual's own (common.http.OWN).
PROBES = "gradual-probe"
BUILT_IN = ("errors", "slow")
PARTS = {"errors": ((OK, ERROR), (ERROR,), ()), "slow": ((ANSWERS,), (ANSWERS,), (FAST,))}
KEYS = ("name", "counter", "labels", "harm", "role", "weight")

Parts = t.Tuple[str, ...]
Json = t.Dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Metric:
    """One metric of one feature: `kind` is errors, slow or counter; more or fewer of it is `harm`; `weight` is its part
    of alpha."""

    feature: str
    name: str
    kind: str
    harm: str = "more"
    role: str = "guardrail"
    weight: float = 1.0
    counter: str = ""
    labels: t.Tuple[t.Tuple[str, str], ...] = ()

    @property
    def parts(self) -> t.Tuple[Parts, Parts, Parts]:
        """(what makes the events, what makes the bad ones, what is to be taken from those)."""
        return PARTS.get(self.kind) or ((OK, ERROR), (self.own_part,), ())

    @property
    def own_part(self) -> str:
        """The part that only this metric has."""
        return f"counter {self.name}"

    def as_dict(self) -> Json:
        """The head of the metric in the counts of a look."""
        head = {
            "feature": self.feature,
            "metric": self.name,
            "kind": self.kind,
            "harm": self.harm,
            "role": self.role,
            "weight": self.weight,
        }
        return {**head, "problem": None, "aa": [], "rows": []}


def sources(by_host: bool) -> t.Tuple[str, str]:
    """(counter of requests, histogram of their durations) of the application contract."""
    return (
        ("http_requests_total", "http_request_duration_seconds")
        if by_host
        else ("feature_requests_total", "feature_request_duration_seconds")
    )


def outcome(labels: t.Mapping[str, str]) -> str:
    """The part that a counter of requests belongs to."""
    failed = labels["outcome"] == "error" if "outcome" in labels else labels.get("status", "").startswith("5")
    return ERROR if failed else OK


def wanted(features: t.Sequence[str], given: t.Optional[t.Sequence[t.Any]] = None) -> t.List[Metric]:
    """The metrics of each feature, from `gate.metrics` of the manifest; raises GateError with what is wrong, seen, and
    to be written.

    A label `feature` limits a counter to that feature, except where the whole release is looked at.
    """
    entries = [_checked(number, entry) for number, entry in enumerate(given or ())]
    names = [entry["name"] for entry in entries]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise GateError(f"metrics[{number}]: {name} is in the list twice; write each name once")
    by_name = dict(zip(names, entries))
    found = []
    for feature in features:
        for name in BUILT_IN:
            entry = by_name.get(name, {})
            found.append(
                Metric(feature, name, name, role=entry.get("role", "guardrail"), weight=entry.get("weight", 1.0))
            )
        for name, entry in by_name.items():
            labels = entry["labels"]
            if name not in BUILT_IN and (feature == RELEASE or labels.get("feature", feature) == feature):
                rest = tuple(
                    sorted(
                        (label, value) for label, value in labels.items() if label != "feature" or feature == RELEASE
                    )
                )
                found.append(
                    Metric(
                        feature, name, "counter", entry["harm"], entry["role"], entry["weight"], entry["counter"], rest
                    )
                )
    return found


def _checked(number: int, entry: t.Any) -> Json:
    """An entry with its defaults, as plugin_utils/manifest/gate_schema.py has them."""
    where = f"metrics[{number}]"
    if not isinstance(entry, dict) or not entry.get("name"):
        raise GateError(f"{where} is {entry!r}; write a mapping with name and counter")
    for key in entry:
        if key not in KEYS:
            raise GateError(f"{where}.{key}: no such key; write one of {', '.join(KEYS)}")
    result = {
        "counter": None,
        "harm": "more",
        "role": "guardrail",
        "weight": 1.0,
        **{key: value for key, value in entry.items() if value is not None},
    }
    result["labels"] = {str(label): str(value) for label, value in (entry.get("labels") or {}).items()}
    if result["harm"] not in ("more", "fewer"):
        raise GateError(f"{where}.harm is {result['harm']!r}; write more or fewer")
    if result["role"] not in ("guardrail", "signal"):
        raise GateError(f"{where}.role is {result['role']!r}; write guardrail or signal")
    weight = result["weight"]
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < 1e6:
        raise GateError(f"{where}.weight is {weight!r}; write a number above 0")
    if result["name"] not in BUILT_IN and not result["counter"]:
        raise GateError(f"{where}: {result['name']} has no counter; write the name of one, like feature_orders_total")
    result["weight"] = float(weight)
    return result
