"""python -m tests.load.orders --record load.json --container gradual-demo-db1

Holds the numbered orders of a load against the database: each acknowledged one is there exactly once, each one sent
at most once, and none is there that was not sent.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.support.fleet import podman

QUERY = "SELECT reference FROM orders WHERE reference BETWEEN :first AND :last"


def compare(sent: Iterable[int], acknowledged: Iterable[int], found: Iterable[int]) -> dict[str, Any]:
    """Compare references sent, acknowledged and found (one for each row) and say what is wrong.

    An order that was sent but not acknowledged may be there or not: its user was told nothing.
    """
    sent, acknowledged, rows = set(sent), set(acknowledged), Counter(found)
    return {
        "sent": len(sent),
        "acknowledged": len(acknowledged),
        "found": sum(rows.values()),
        "missing": sorted(acknowledged - rows.keys()),
        "twice": sorted(reference for reference, count in rows.items() if count > 1),
        "unknown": sorted(rows.keys() - sent),
        "passed": (
            bool(acknowledged) and acknowledged <= rows.keys() <= sent and all(count == 1 for count in rows.values())
        ),
    }


def fetch(container: str, database: str, first: int, last: int) -> list[int]:
    """The references in the database, one for each row, read with psql inside the database host's container."""
    psql = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-v", f"first={first}", "-v", f"last={last}", "-d", database]
    command = podman("exec", "--interactive", container, "runuser", "-u", "postgres", "--", *psql)
    answer = subprocess.run(command, input=QUERY + ";\n", capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"cannot read the orders in {container}: {answer.stderr.strip()}")
    return [int(line) for line in answer.stdout.split()]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.load.orders")
    parser.add_argument("--record", type=Path, required=True, help="what `python -m tests.load --output` wrote")
    parser.add_argument("--container", default="gradual-demo-db1", help="the database host (default %(default)s)")
    parser.add_argument("--database", default="storefront")
    options = parser.parse_args(argv)
    record = json.loads(options.record.read_text())
    orders = record["orders"]
    found = fetch(options.container, options.database, orders["first"], orders["last"])
    result = compare(orders["sent"], orders["acknowledged"], found)
    print(json.dumps(result, indent=1))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
