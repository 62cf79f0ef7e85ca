"""What was sent, what came back, and the figures made of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One request that has ended, well or not.

    ``second`` is when it was due, in seconds since the load began; ``seconds`` runs from that moment to the last
    byte, so a request that left late is not flattered. ``status`` is None when no complete answer came; ``why`` is
    None only for a good answer.
    """

    time: str
    second: float
    route: str
    method: str
    path: str
    visitor: str
    connection: str
    status: int | None
    why: str | None
    seconds: float


def quantile(values: Iterable[float], share: float) -> float | None:
    """The nearest-rank quantile: the smallest value that at least ``share`` (0..1) of all values do not exceed."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _latencies(answers: list[Answer]) -> dict[str, float | None]:
    seconds = [answer.seconds for answer in answers if answer.status is not None]
    return {
        "mean_seconds": _rounded(sum(seconds) / len(seconds)) if seconds else None,
        "p50_seconds": _rounded(quantile(seconds, 0.50)),
        "p95_seconds": _rounded(quantile(seconds, 0.95)),
        "p99_seconds": _rounded(quantile(seconds, 0.99)),
        "max_seconds": _rounded(max(seconds, default=None)),
    }


@dataclass
class Record:
    """Counts every request twice, when it leaves and when it ends, so that none can be lost in between."""

    slow_seconds: float = 0.5
    sent: int = 0
    answers: list[Answer] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    sent_by_second: Counter[int] = field(default_factory=Counter)
    orders_sent: list[int] = field(default_factory=list)
    orders_acknowledged: list[int] = field(default_factory=list)
    answered: int = 0
    good: int = 0
    failed: int = 0
    slow: int = 0

    def left(self, second: float, lag: float, order: int | None = None) -> None:
        """A request has left, ``lag`` seconds after it was due."""
        self.sent += 1
        self.lags.append(lag)
        self.sent_by_second[int(second)] += 1
        if order is not None:
            self.orders_sent.append(order)

    def ended(self, answer: Answer, order: int | None = None) -> None:
        """A request has ended. An order counts as acknowledged only when its answer was good."""
        self.answers.append(answer)
        self.answered += answer.status is not None
        self.good += answer.why is None
        self.failed += answer.why is not None
        self.slow += answer.status is not None and answer.seconds > self.slow_seconds
        if order is not None and answer.why is None:
            self.orders_acknowledged.append(order)

    @property
    def verdict(self) -> bool:
        """True when requests were sent and every one of them was answered well. No data is never a pass."""
        return self.sent > 0 and self.failed == 0 and self.sent == self.answered == self.good

    def by_route(self) -> dict[str, dict[str, Any]]:
        grouped: dict[str, list[Answer]] = {}
        for answer in self.answers:
            grouped.setdefault(answer.route, []).append(answer)
        return {
            route: {
                "ended": len(answers),
                "failed": sum(answer.why is not None for answer in answers),
                "statuses": dict(sorted(Counter(str(answer.status or "none") for answer in answers).items())),
                **_latencies(answers),
            }
            for route, answers in sorted(grouped.items())
        }

    def by_connection(self) -> dict[str, dict[str, int]]:
        result: dict[str, dict[str, int]] = {}
        for answer in self.answers:
            counts = result.setdefault(answer.connection, {"ended": 0, "failed": 0})
            counts["ended"] += 1
            counts["failed"] += answer.why is not None
        return result

    def series(self) -> list[dict[str, Any]]:
        """One row for each second of the load, by the time at which its requests were due."""
        grouped: dict[int, list[Answer]] = {second: [] for second in self.sent_by_second}
        for answer in self.answers:
            grouped.setdefault(int(answer.second), []).append(answer)
        return [
            {
                "second": second,
                "sent": self.sent_by_second[second],
                "answered": sum(answer.status is not None for answer in answers),
                "good": sum(answer.why is None for answer in answers),
                "failed": sum(answer.why is not None for answer in answers),
                "p50_seconds": _latencies(answers)["p50_seconds"],
                "p95_seconds": _latencies(answers)["p95_seconds"],
            }
            for second, answers in sorted(grouped.items())
        ]

    def summary(self) -> dict[str, Any]:
        """The whole record as plain data, ready for JSON."""
        return {
            "sent": self.sent,
            "answered": self.answered,
            "good": self.good,
            "failed": self.failed,
            "slow": self.slow,
            "slow_seconds": self.slow_seconds,
            **_latencies(self.answers),
            "lag": {
                "p99_seconds": _rounded(quantile(self.lags, 0.99)),
                "max_seconds": _rounded(max(self.lags, default=None)),
            },
            "connections": self.by_connection(),
            "routes": self.by_route(),
            "failures": [asdict(answer) for answer in self.answers if answer.why is not None],
            "series": self.series(),
            "orders": {"sent": self.orders_sent, "acknowledged": self.orders_acknowledged},
        }
