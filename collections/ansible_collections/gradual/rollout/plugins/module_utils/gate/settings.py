# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Settings of a gate, from a manifest's `gate` and `bake`."""

from __future__ import annotations

import dataclasses
import typing as t

# Most of alpha is spent where the fewest users are: what does harm does it from the first stage on.
FIRST_STAGE = 0.95
# More than this is a slip of the pen, whatever the setting; NaN and infinity are not below it either.
LARGEST = 1e12


class GateError(Exception):
    """The settings of a gate cannot be used."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Gate and bake of a manifest; shares and alphas between 0 and 1, times in seconds.

    The manifest's schema takes its defaults from here. `harmless_share` 0 means that none is declared.
    """

    alpha: float = 0.05
    certify_alpha: float = 0.10
    tolerated_ratio: float = 1.25
    margin: float = 2.0
    slow_seconds: float = 0.5
    hard_error_share: float = 0.2
    hard_slow_share: float = 0.5
    harmless_share: float = 0.0
    sample_ratio_alpha: float = 0.001
    min_requests: int = 50
    on_no_data: str = "rollback"
    min: float = 600.0
    max: float = 3600.0
    look: float = 30.0
    deadline: float = 0.0

    @property
    def certify_each(self) -> float:
        """The chance of error of each way to certify a metric, so that all together keep certify_alpha."""
        return self.certify_alpha / (2 if self.harmless_share else 1)

    def hard_share(self, kind: str) -> t.Optional[float]:
        """The share of bad events that is a catastrophe by itself; None for a counter, which may be high by nature."""
        return {"errors": self.hard_error_share, "slow": self.hard_slow_share}.get(kind)


def spent_in(stage: int, stages: int) -> float:
    """The part of alpha that is spent in stage number `stage` (from 0) of `stages` with a control."""
    if stages <= 1:
        return 1.0
    return FIRST_STAGE if stage <= 0 else (1 - FIRST_STAGE) / (stages - 1)


def settings_from(gate: t.Optional[t.Mapping[str, t.Any]], bake: t.Optional[t.Mapping[str, t.Any]]) -> Settings:
    """Settings of a manifest's `gate` and `bake`; raises GateError naming key, value and what to write. A key that is
    None counts as left out."""
    known = {field.name for field in dataclasses.fields(Settings)}
    given = {}
    for part in (gate or {}, bake or {}):
        given.update({key: value for key, value in part.items() if key in known and value is not None})
    policy = given.pop("on_no_data", "rollback")
    for key, value in given.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < LARGEST:
            raise GateError(f"gate: {key} is {value!r}; write a number")
    settings = Settings(**given, on_no_data=policy)
    for key in ("alpha", "certify_alpha", "hard_error_share", "hard_slow_share", "sample_ratio_alpha"):
        if not 0 < getattr(settings, key) < 1:
            raise GateError(f"gate: {key} is {getattr(settings, key)}; write a number between 0 and 1")
    if not 0 <= settings.harmless_share < 1:
        raise GateError(
            f"gate: harmless_share is {settings.harmless_share}; write a number between 0 and 1, or leave it out"
        )
    if policy not in ("rollback", "manual"):
        raise GateError(f"gate: on_no_data is {policy!r}; write rollback or manual")
    if settings.tolerated_ratio < 1:
        raise GateError(f"gate: tolerated_ratio is {settings.tolerated_ratio}; write 1 or more")
    if settings.margin <= settings.tolerated_ratio:
        raise GateError(
            f"gate: margin is {settings.margin}; write more than tolerated_ratio, which is {settings.tolerated_ratio}"
        )
    if not 0 < settings.min <= settings.max:
        raise GateError(f"bake: min is {settings.min} and max {settings.max}; write 0 < min <= max")
    if not settings.deadline:
        settings = dataclasses.replace(settings, deadline=1.5 * settings.max)
    return settings
