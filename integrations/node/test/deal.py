# Copyright: The Gradual project
# BSD-2-Clause (see the file LICENSE)
"""What the pinned Python provider gives to the same users, for the tests of the Node library.

    python test/deal.py FOLDER SAMPLE USERS

Writes flag files with the collection's own writer into FOLDER, and prints {"names": NAMES, "files": {name of the file:
what `deal` says}, "sample": what `sample` says of the flag SAMPLE}. The users are NAMES and so many more: `user-0`, …
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from pathlib import Path

from ansible_collections.gradual.rollout.plugins.module_utils.flags import definition, file
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext

FLAG = "search"
NAMES = ["", "ü", "日本", "x" * 23, "x" * 24, "x" * 255, "x" * 256, "x" * 65535, "x" * 65536, "a\x00b", "😀" * 9]
FAR = 4102444800  # 2100-01-01
PAST = 1000000000


def wanted() -> dict[str, definition.Wanted]:
    """The states of a rollout as the collection writes them."""
    return {
        "labels": definition.Wanted(FLAG, 0, labels=(25, 50)),
        "stage-of-25": definition.Wanted(FLAG, 0, baking=25, expiry=FAR),
        "expired-stage-of-50": definition.Wanted(FLAG, 25, baking=50, expiry=PAST),
        "certified-50": definition.Wanted(FLAG, 50),
        "whole": definition.Wanted(FLAG, 100),
    }


def users(number: int) -> list[str]:
    return [*NAMES, *(f"user-{each}" for each in range(number))]


def provider(path: Path) -> FlagdProvider:
    made = FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=str(path), deadline_ms=60000)
    made.initialize(EvaluationContext())
    return made


def deal(path: Path, keys: list[str]) -> dict[str, dict[str, object]]:
    """{"variant value": {"users": how many, "digest": of their names}} of the file at `path`."""
    evaluator = provider(path)
    having: dict[str, list[str]] = {}
    for key in keys:
        details = evaluator.resolve_boolean_details(FLAG, False, EvaluationContext(targeting_key=key))
        having.setdefault(f"{details.variant} {str(details.value).lower()}", []).append(key)
    return {
        variant: {"users": len(keys), "digest": hashlib.sha256("\n".join(keys).encode()).hexdigest()}
        for variant, keys in having.items()
    }


def sample(path: Path, told: dict[str, object]) -> str:
    """Who of the 100 fixed users has the flag that the library checks itself with, a bit for each, in hexadecimal."""
    path.write_text(json.dumps({"flags": {"gradual-sample": told}}))
    evaluator = provider(path)
    contexts = (EvaluationContext(targeting_key=f"share-probe-{number:03d}") for number in range(100))
    bits = "".join("01"[evaluator.resolve_boolean_details("gradual-sample", False, each).value] for each in contexts)
    return f"{int(bits, 2):025x}"


def main(folder: str, told: str, number: str) -> None:
    logging.disable(logging.CRITICAL)  # the provider tells of each user without a name
    keys = users(int(number))
    dealt = {}
    for name, each in wanted().items():
        path = Path(folder) / f"{name}.json"
        file.write(str(path), definition.render(definition.plan(None, [each], 7).document))
        dealt[name] = deal(path, keys)
    print(json.dumps({"names": NAMES, "files": dealt, "sample": sample(Path(folder) / "sample", json.loads(told))}))


if __name__ == "__main__":
    main(*sys.argv[1:])
