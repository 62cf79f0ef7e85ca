# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Settings of a gate, from a manifest's `gate` and `bake`."""

from __future__ import annotations

import dataclasses
import math
import typing as t


class GateError(Exception):
    """The settings of a gate cannot be used."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Gate and bake of a manifest, with their defaults; shares and alphas between 0 and 1, times in seconds."""

    alpha: float = 0.05
    certify_alpha: float = 0.10
    tolerated_ratio: float = 1.25
    margin: float = 2.0
    slow_seconds: float = 0.5
    hard_error_share: float = 0.2
    hard_slow_share: float = 0.5
    harmless_share: float = 0.01
    min_requests: int = 50
    on_no_data: str = "rollback"
    min: float = 30.0
    max: float = 600.0
    look: float = 10.0
    deadline: float = 0.0

    @property
    def certify_each(self) -> float:
        """The chance of error of each of the two ways to certify a metric, so that both together keep certify_alpha."""
        return self.certify_alpha / 2

    def hard_share(self, metric: str) -> float:
        return self.hard_error_share if metric == "errors" else self.hard_slow_share


def settings_from(gate: t.Optional[t.Mapping[str, t.Any]], bake: t.Optional[t.Mapping[str, t.Any]]) -> Settings:
    """Settings of a manifest's `gate` and `bake`; raises GateError naming key, value and what to write. A key that is None counts as left out."""
    known = {field.name for field in dataclasses.fields(Settings)}
    given = {}
    for part in (gate or {}, bake or {}):
        given.update({key: value for key, value in part.items() if key in known and value is not None})
    policy = given.pop("on_no_data", "rollback")
    for key, value in given.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise GateError(f"gate: {key} is {value!r}; write a number")
    settings = Settings(**given, on_no_data=policy)
    for key in ("alpha", "certify_alpha", "hard_error_share", "hard_slow_share", "harmless_share"):
        if not 0 < getattr(settings, key) < 1:
            raise GateError(f"gate: {key} is {getattr(settings, key)}; write a number between 0 and 1")
    if settings.tolerated_ratio < 1:
        raise GateError(f"gate: tolerated_ratio is {settings.tolerated_ratio}; write 1 or more")
    if settings.margin <= settings.tolerated_ratio:
        raise GateError(f"gate: margin is {settings.margin}; write more than tolerated_ratio, which is {settings.tolerated_ratio}")
    if not 0 < settings.min <= settings.max:
        raise GateError(f"bake: min is {settings.min} and max {settings.max}; write 0 < min <= max")
    if not settings.deadline:
        settings = dataclasses.replace(settings, deadline=1.5 * settings.max)
    return settings
