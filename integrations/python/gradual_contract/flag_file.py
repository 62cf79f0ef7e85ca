# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""What the flag file itself says, beside what the provider makes of it: variants, revisions, moments."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Identity = tuple[int, int, int]


class Unreadable(Exception):
    """There is no flag file, or it is none of flagd's; the message says what was seen."""


@dataclass(frozen=True)
class FlagFile:
    """variants: {feature: {variant: value}}; revisions: {feature: revision}, 0 where the file has none;
    moments: epoch seconds with which a rule compares the clock, rising."""

    variants: dict[str, dict[str, Any]]
    revisions: dict[str, float]
    moments: list[float]


def identity(path: str) -> Identity | None:
    """Changes when the file is written; None where there is none."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return (stat.st_ino, stat.st_mtime_ns, stat.st_size)


def read(path: str, features: Sequence[str]) -> FlagFile:
    try:
        with open(path, encoding="utf-8") as file:
            told = json.load(file)
        flags, common = told["flags"], (told.get("metadata") or {}).get("revision", 0)
        known = {feature: flags[feature] for feature in features if feature in flags}
        return FlagFile(
            {feature: dict(flag.get("variants") or {}) for feature, flag in known.items()},
            {
                feature: float((known[feature].get("metadata") or {}).get("revision", common))
                if feature in known
                else 0.0
                for feature in features
            },
            sorted({moment for flag in known.values() for moment in moments(flag.get("targeting"))}),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def moments(targeting: Any) -> Iterator[float]:
    """Every moment (epoch seconds) with which a targeting rule compares the clock."""
    if isinstance(targeting, dict):
        for operator, values in targeting.items():
            if (
                operator in ("<", "<=", ">", ">=")
                and isinstance(values, list)
                and {"var": "$flagd.timestamp"} in values
            ):
                yield from (float(value) for value in values if isinstance(value, (int, float)))
            yield from moments(values)
    elif isinstance(targeting, list):
        for value in targeting:
            yield from moments(value)
