"""The requests of a day at the converter (examples/converter), endlessly."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from .generator import Request


def right(body: bytes) -> str | None:
    """Whether the answer is the right temperature, in kelvin too where it has that."""
    seen = json.loads(body)
    wanted = {"fahrenheit": round(seen["celsius"] * 9 / 5 + 32, 2), "kelvin": round(seen["celsius"] + 273.15, 2)}
    wrong = [name for name, value in wanted.items() if seen.get(name, value) != value]
    return f"wrong: {', '.join(wrong)} in {seen}" if wrong else None


def requests(visitors: int = 2000, seed: int = 21) -> Iterator[Request]:
    """One in four temperatures is below zero."""
    dice = random.Random(seed)
    while True:
        visitor = f"load-{dice.randrange(visitors):05d}"
        yield Request("convert", f"/api/convert?celsius={dice.randrange(-10, 30)}", visitor, check=right)
