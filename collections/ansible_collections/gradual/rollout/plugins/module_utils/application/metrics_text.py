# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The metrics of the application contract, looked up in the text of /metrics. Pure."""

from __future__ import annotations

import dataclasses
import itertools
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.flags import process_state

Labels = t.Dict[str, str]
VALUES = {"variant": ("on", "off"), "outcome": ("ok", "error"), "opinion": ("good", "bad")}
EXAMPLES = {"method": "GET", "route": "/", "status": "200", "pid": "4711"}
# The label that names a feature.
FEATURE = {"feature", "flag"}


@dataclasses.dataclass(frozen=True)
class Page:
    """samples: (name, labels, value); broken: lines that are neither a sample nor a comment."""

    samples: t.Sequence[t.Tuple[str, Labels, float]]
    broken: t.Sequence[str]

    def of(self, name: str) -> t.List[Labels]:
        """The labels of each series of this name."""
        return [labels for known, labels, _value in self.samples if known == name]

    def count(self, name: str, **labels: str) -> t.Optional[float]:
        """The sum of the series with these labels; None if there is none."""
        found = [
            value
            for known, having, value in self.samples
            if known == name and all(having.get(key) == wanted for key, wanted in labels.items())
        ]
        return sum(found) if found else None

    def features(self) -> t.List[str]:
        """The features that the application names."""
        named = ((name, labels.get("flag") or labels.get("feature")) for name, labels, _value in self.samples)
        return sorted({flag for name, flag in named if flag and name.startswith("feature_")})

    def pids(self) -> t.Set[str]:
        """The processes that tell what they evaluate."""
        names = ("feature_flag_revision", "feature_flag_share")
        return {labels["pid"] for name, labels, _value in self.samples if name in names and "pid" in labels}


class _Any:
    """Contains every name."""

    def __contains__(self, _name: object) -> bool:
        return True


def read(text: str) -> Page:
    """The samples in Prometheus' text format."""
    found, broken = [], []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        samples = list(process_state.samples(line, _Any()))
        found += samples
        if not samples:
            broken.append(line)
    return Page(found, broken)


@dataclasses.dataclass(frozen=True)
class Family:
    """A metric of the contract. labels: in the order of its page; must: without it no feature can be shown to users;
    consequence: what is not possible without it."""

    name: str
    labels: t.Tuple[str, ...]
    consequence: str
    histogram: bool = False
    must: bool = False

    @property
    def of_features(self) -> bool:
        """Whether there is a series for each feature."""
        return bool(FEATURE & set(self.labels))

    def wanted(self, slow_seconds: float) -> str:
        """What is expected of it, in words."""
        bucket = f" with a bucket le={slow_seconds:g}" if self.histogram else ""
        each = [label for label in self.labels if label in VALUES]
        born = f", from the start for every {' and '.join(each)} of each feature" if each else ""
        of_process = ", for each process" if "pid" in self.labels else ""
        return f"{self.name}{{{','.join(self.labels)}}}{bucket}{born}{of_process}"

    def line(self, slow_seconds: float, known: t.Mapping[str, str]) -> str:
        """The line that /metrics must have."""
        values = {
            label: known.get(label) or VALUES.get(label, (EXAMPLES.get(label, "search"),))[0] for label in self.labels
        }
        if self.histogram:
            values["le"] = f"{slow_seconds:g}"
        inner = ",".join(f'{label}="{value}"' for label, value in values.items())
        return f"{self.name}{'_bucket' if self.histogram else ''}{{{inner}}} 0"

    def judge(self, page: Page, features: t.Sequence[str], slow_seconds: float) -> t.Tuple[str, str, str]:
        """(state, what was seen, the line to add)."""
        series = page.of(f"{self.name}_bucket" if self.histogram else self.name)
        if not series:
            first = dict.fromkeys(FEATURE, features[0]) if features else {}
            return "missing", "no series", self.line(slow_seconds, first)
        lacking = [label for label in self.labels if label not in series[0]]
        if lacking:
            return "wrong", f"no label {', '.join(lacking)}", self.line(slow_seconds, {})
        return self._gap(page, series, features, slow_seconds)

    def _gap(
        self, page: Page, series: t.Sequence[Labels], features: t.Sequence[str], slow_seconds: float
    ) -> t.Tuple[str, str, str]:
        for values in self._combinations(features):
            line = self.line(slow_seconds, values)
            having = [labels for labels in series if all(labels[key] == value for key, value in values.items())]
            shown = ",".join(f'{key}="{value}"' for key, value in values.items())
            if not having:
                return "missing", f"no series with {shown}", line
            if self.histogram and slow_seconds not in {_bound(labels) for labels in having}:
                bounds = sorted({f"{bound:g}" for labels in having if (bound := _bound(labels)) is not None}, key=float)
                return "wrong", f"buckets {', '.join(bounds)}", line
            if "pid" in self.labels:
                silent = page.pids() - {labels["pid"] for labels in having}
                if silent:
                    return "missing", f"no series with {shown} of the processes {', '.join(sorted(silent))}", line
        count = len(page.of(f"{self.name}_count")) if self.histogram else len(series)
        return "ok", f"{count} series", self.line(slow_seconds, {})

    def _combinations(self, features: t.Sequence[str]) -> t.Iterator[Labels]:
        """The label values of which there must be a series from the start."""
        known = {
            label: list(features) if label in FEATURE else list(VALUES[label])
            for label in self.labels
            if label in FEATURE or label in VALUES
        }
        for values in itertools.product(*known.values()):
            yield dict(zip(known, values))


def _bound(labels: t.Mapping[str, str]) -> t.Optional[float]:
    try:
        return float(labels.get("le", ""))
    except ValueError:
        return None


NO_RAMP = "a stage cannot be watched, so the feature cannot be shown to users"
NO_CANARY = "the canary cannot be compared with the other hosts, and the report has no {} of the application"
FAMILIES = (
    Family("http_requests_total", ("method", "route", "status"), NO_CANARY.format("requests and errors")),
    Family("http_request_duration_seconds", ("route",), NO_CANARY.format("response times"), histogram=True),
    Family("feature_requests_total", ("feature", "variant", "outcome"), NO_RAMP, must=True),
    Family("feature_request_duration_seconds", ("feature", "variant"), NO_RAMP, histogram=True, must=True),
    Family(
        "feature_flag_revision",
        ("flag", "pid"),
        "Gradual cannot verify that each process evaluates the flags, so the feature cannot be shown to users",
        must=True,
    ),
    Family(
        "feature_flag_share",
        ("flag", "pid"),
        "Gradual cannot verify the share of users in each process, so the feature cannot be shown to users",
        must=True,
    ),
    Family(
        "feature_evaluations_total",
        ("flag",),
        "retire.yml takes the flag as unused although the code may still evaluate it: do not retire it",
    ),
    Family(
        "feature_feedback_total", ("feature", "variant", "opinion"), "what users say of the feature is not measured"
    ),
    Family("feature_orders_total", ("feature", "variant"), "what users do with the feature (orders) is not measured"),
)
