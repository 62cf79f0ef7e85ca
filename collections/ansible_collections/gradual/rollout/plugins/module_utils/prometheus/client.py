# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Ask Prometheus for raw samples, and turn counters into increases per interval. That there is no data is always
visible, never 0."""

from __future__ import annotations

import bisect
import dataclasses
import json
import math
import statistics
import typing as t
import urllib.error
import urllib.parse

from ansible_collections.gradual.rollout.plugins.module_utils.common.remote import ANYBODY, Access, open_remote

COUNTABLE = 2.0**53

Labels = t.Dict[str, str]
Samples = t.List[t.Tuple[float, float]]


class PrometheusError(Exception):
    """Prometheus did not answer, or not with data."""


@dataclasses.dataclass
class Series:
    """One series: its labels, and the times and values of its raw samples in order, in two lists of the same length.

    Times are seconds since the epoch. Those of samples that are no numbers to count with (NaN, infinity, or so large
    that adding 1 changes nothing) are in `unusable` instead.
    """

    labels: Labels
    times: t.List[float]
    values: t.List[float]
    unusable: t.List[float] = dataclasses.field(default_factory=list)

    @classmethod
    def of(cls, labels: Labels, pairs: t.Sequence[t.Sequence[t.Any]]) -> Series:
        """A series from pairs of a time and a number, which may be text, as Prometheus has it."""
        times, texts = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        try:
            # Nearly always all are numbers that can be counted with; their sum tells otherwise without a look at each.
            values = list(map(float, texts))
            if abs(sum(values)) < COUNTABLE:
                return cls(labels, times, values)
        except (TypeError, ValueError):
            pass
        read = [(at, _finite(value)) for at, value in zip(times, texts)]
        usable = [(at, value) for at, value in read if value is not None and abs(value) < COUNTABLE]
        return cls(
            labels,
            [at for at, _value in usable],
            [value for _at, value in usable],
            sorted(set(times) - {at for at, _value in usable}),
        )

    @property
    def samples(self) -> Samples:
        """(time, value) of each sample."""
        return list(zip(self.times, self.values))

    @property
    def newest(self) -> t.Optional[float]:
        """The time of the newest sample, whether or not it is a number to count with; None without any."""
        return max([*self.times[-1:], *self.unusable[-1:]], default=None)

    def between(self, since: float, until: float) -> Series:
        """The part from `since` to `until`, both included."""
        first, end = bisect.bisect_left(self.times, since), bisect.bisect_right(self.times, until)
        unusable = [at for at in self.unusable if since <= at <= until]
        if first == 0 and end == len(self.times) and len(unusable) == len(self.unusable):
            return self
        return Series(self.labels, self.times[first:end], self.values[first:end], unusable)

    def before(self, later: Series) -> Series:
        """The samples of this series and then those of `later`, which is the same series."""
        return Series(
            later.labels,
            [*self.times, *later.times],
            [*self.values, *later.values],
            [*self.unusable, *later.unusable],
        )

    def without(self, times: t.Container[float]) -> Series:
        """The same without what was sampled at these times."""
        kept = [(at, value) for at, value in zip(self.times, self.values) if at not in times]
        return Series(self.labels, [at for at, _value in kept], [value for _at, value in kept])


@dataclasses.dataclass(frozen=True)
class Step:
    """What a counter grew by between two samples next to each other."""

    start: float
    end: float
    increase: float


class Prometheus:
    """A client for the HTTP API; raises PrometheusError with a sentence on every kind of failure."""

    def __init__(self, url: str, timeout: float = 10.0, access: Access = ANYBODY) -> None:
        if not url.startswith(("http://", "https://")):
            raise PrometheusError(f"prometheus is {url!r}; write an address like http://127.0.0.1:9090")
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.access = access

    def query(self, expression: str, time: float) -> t.List[t.Dict[str, t.Any]]:
        """The raw `result` of an instant query at a time in seconds since the epoch; [] when nothing matches."""
        return self._ask("query", {"query": expression, "time": f"{time:.3f}"})

    def _ask(self, path: str, parameters: t.Mapping[str, str]) -> t.List[t.Dict[str, t.Any]]:
        expression = parameters["query"]
        form = urllib.parse.urlencode(parameters).encode()
        try:
            with open_remote(f"{self.url}/api/v1/{path}", self.access, self.timeout, form) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise PrometheusError(
                    f"Prometheus at {self.url} answers {error.code} to user {self.access.username or 'none'};"
                    " write prometheus_username and prometheus_password (of a rollout: rollout_prometheus_username and"
                    " rollout_prometheus_password)"
                ) from error
            raise PrometheusError(
                f"Prometheus at {self.url} answers {error.code} to {expression}: {_reason(error.read())}"
            ) from error
        except (OSError, ValueError) as error:
            raise PrometheusError(
                f"Prometheus at {self.url} does not answer: {getattr(error, 'reason', None) or error}"
            ) from error
        try:
            document = json.loads(body)
            result = document["data"]["result"]
            if document["status"] != "success" or not isinstance(result, list):
                raise ValueError(document["status"])
        except (ValueError, KeyError, TypeError) as error:
            raise PrometheusError(f"Prometheus at {self.url} does not answer with data: {body[:120]!r}") from error
        return result

    def values(self, expression: str, time: float) -> t.List[t.Tuple[Labels, t.Optional[float]]]:
        """(labels, value) of each series of an instant query; a value that is no number (NaN, infinity) is None."""
        return [
            (each.get("metric", {}), _finite(each["value"][1]))
            for each in self.query(expression, time)
            if "value" in each
        ]

    def series(self, selector: str, since: float, until: float) -> t.List[Series]:
        """The raw samples of each series that matches a selector, from `since` to `until`."""
        seconds = max(1, math.ceil(until - since))
        found = self.query(f"{selector}[{seconds}s]", until)
        return [Series.of(each.get("metric", {}), each.get("values", ())).between(since, until) for each in found]

    def range(self, expression: str, since: float, until: float, step: float) -> t.List[Series]:
        """The value of an expression every `step` seconds, for pictures and totals; points without a number are left
        out."""
        limits = {"start": f"{since:.3f}", "end": f"{until:.3f}", "step": f"{step:.3f}"}
        found = self._ask("query_range", {"query": expression, **limits})
        return [Series.of(each.get("metric", {}), each.get("values", ())) for each in found]


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body[:120].decode("utf-8", "replace")


def _finite(text: t.Any) -> t.Optional[float]:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def resets(series: t.Iterable[Series]) -> t.Set[float]:
    """Times of samples that are lower than the one before, in any of the counters of one process: all of them began
    anew then."""
    anew: t.Set[float] = set()
    for each in series:
        if each.values != sorted(each.values):
            anew.update(at for at, before, after in zip(each.times[1:], each.values, each.values[1:]) if after < before)
    return anew


def steps(samples: Samples, anew: t.Container[float] = ()) -> t.List[Step]:
    """What a counter grew by from sample to sample; a counter that began anew has grown by its whole new value."""
    result = []
    for (start, before), (end, after) in zip(samples, samples[1:]):
        result.append(Step(start, end, after if end in anew or after < before else after - before))
    return result


def scrape_interval(scrapes: t.Iterable[t.Sequence[float]]) -> t.Optional[float]:
    """The usual time between two samples, from the times of one series a host; None if unknown.

    Rounded to half seconds from 0.75 s on, so that it stays the same from look to look.
    """
    gaps = [later - earlier for times in scrapes for earlier, later in zip(times, times[1:])]
    if not gaps:
        return None
    usual = statistics.median(gaps)
    return round(usual * 2) / 2 if usual >= 0.75 else max(0.1, round(usual, 1))


def binned(found: t.Iterable[Step], since: float, interval: float) -> t.Dict[int, float]:
    """{number of the interval since `since`: increase}; a step belongs where it ends."""
    sums: t.Dict[int, float] = {}
    for step in found:
        index = int((step.end - since) // interval)
        sums[index] = sums.get(index, 0.0) + step.increase
    return sums


def matching(
    labels: t.Mapping[str, t.Sequence[str]], without: t.Optional[t.Mapping[str, t.Sequence[str]]] = None
) -> str:
    """A selector that matches any of the values of each label, and none of those in `without`:
    {feature=~"a|b",job=~"application",route!~"/x"}."""
    pairs = [(name, "=~", values) for name, values in sorted(labels.items())] + [
        (name, "!~", values) for name, values in sorted((without or {}).items())
    ]
    parts = [f'{name}{how}"{"|".join(_literal(value) for value in values)}"' for name, how, values in pairs]
    return "{" + ",".join(parts) + "}"


def _literal(value: str) -> str:
    escaped = "".join(f"\\{char}" if char in r"\.+*?()|[]{}^$" else char for char in value)
    return escaped.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
