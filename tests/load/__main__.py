"""python -m tests.load --url https://shop.example --rate 60 --output load.json

Runs until SIGTERM, SIGINT or --seconds. Exit status 0 only when requests were sent and every one was answered well.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

import aiohttp

from .generator import Load, Settings
from .record import quantile
from .storefront import Mix, sign_in, sign_up


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.load", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--url", required=True, help="the public address, for example https://shop.example")
    parser.add_argument("--resolve", action="append", default=[], metavar="NAME=ADDRESS", help="reach NAME at ADDRESS")
    parser.add_argument("--ca", metavar="FILE", help="the authority that signed the certificate of the site")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second (default %(default)s)")
    parser.add_argument("--seconds", type=float, help="how long; default: until SIGTERM")
    parser.add_argument("--timeout", type=float, default=10.0, help="give an answer up after so many seconds")
    parser.add_argument("--slow", type=float, default=0.5, help="an answer is slow from so many seconds on")
    parser.add_argument("--new", type=float, default=0.3, help="share of requests on a new connection, 0..1")
    parser.add_argument("--visitors", type=int, default=2000, help="how many visitor ids take turns")
    parser.add_argument("--seed", type=int, default=21, help="the same seed sends the same requests")
    parser.add_argument("--accounts", type=int, default=4, help="how many accounts order; 0: nobody orders")
    parser.add_argument("--output", type=Path, help="write the record here, as JSON")
    parser.add_argument("--quiet", action="store_true", help="no line of progress every 10 s")
    options = parser.parse_args(argv)
    for pair in options.resolve:
        if "=" not in pair:
            parser.error(f"--resolve: want NAME=ADDRESS, got {pair!r}")
    if not options.rate > 0:
        parser.error(f"--rate: want a number above 0, got {options.rate:g}")
    if options.ca and not Path(options.ca).is_file():
        parser.error(f"--ca: there is no file {options.ca}; the sandbox makes it with `make fleet`")
    return options


async def show_progress(load: Load, every: float = 10.0) -> None:
    while True:
        before, seen = load.record.sent, len(load.record.answers)
        await asyncio.sleep(every)
        record = load.record
        p95 = quantile([answer.seconds for answer in record.answers[seen:]], 0.95)
        print(
            f"load: sent {record.sent} ({(record.sent - before) / every:.0f}/s), answered {record.answered}, "
            f"failed {record.failed}, slow {record.slow}, p95 {'-' if p95 is None else f'{p95 * 1000:.0f} ms'}",
            flush=True,
        )


def write(path: Path, text: str) -> None:
    """Write by rename, so that a reader finds the whole record or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as handle:
        handle.write(text)
    os.chmod(handle.name, 0o644)
    os.replace(handle.name, path)


async def open_accounts(load: Load, mix: Mix, count: int) -> None:
    """Sign in ``count`` accounts, made where missing, before the load begins."""
    for number in range(1, count + 1):
        email = f"load-{number}@example.org"
        await load.ask(sign_up(email))
        cookies = await load.ask(sign_in(email))
        if "session" not in cookies:
            raise RuntimeError("signing in gave no session cookie")
        mix.sessions.append(cookies["session"])
        mix.accounts.append(email)
    mix.choose()


async def run(options: argparse.Namespace) -> int:
    settings = Settings(
        url=options.url,
        rate=options.rate,
        seconds=options.seconds,
        timeout=options.timeout,
        new_connections=options.new,
        slow_seconds=options.slow,
        seed=options.seed,
        ca_path=options.ca,
        resolve=dict(pair.split("=", 1) for pair in options.resolve),
    )
    started = datetime.datetime.now(datetime.UTC)
    # Numbers that no earlier load has used: the second it began, and room for a million orders.
    first = int(started.timestamp()) * 1_000_000
    mix = Mix(first_order=first, visitors=options.visitors, seed=options.seed)
    load = Load(settings, mix)
    try:
        await open_accounts(load, mix, options.accounts)
    except (TimeoutError, RuntimeError, OSError, aiohttp.ClientError) as error:
        print(f"load: the accounts that order cannot be opened at {options.url}: {error or type(error).__name__}")
        return 2
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, load.stop)
    progress = None if options.quiet else asyncio.create_task(show_progress(load))
    record = await load.run()
    if progress is not None:
        progress.cancel()
    ended = datetime.datetime.now(datetime.UTC)
    result = {
        "url": options.url,
        "rate": options.rate,
        "started": started.isoformat(timespec="milliseconds"),
        "ended": ended.isoformat(timespec="milliseconds"),
        "passed": record.verdict,
        **record.summary(),
    }
    result["orders"].update(first=first, last=first + 999_999)
    if options.output:
        write(options.output, json.dumps(result, indent=1) + "\n")
    for failure in result["failures"][:10]:
        print(f"load: FAILED {failure['time']} {failure['method']} {failure['path']}: {failure['why']}")
    print(
        f"load: {'passed' if record.verdict else 'FAILED'}: sent {record.sent}, answered {record.answered}, good "
        f"{record.good}, failed {record.failed}, slow {record.slow}, mean {result['mean_seconds']} s, p95 "
        f"{result['p95_seconds']} s, orders {len(record.orders_acknowledged)} of {len(record.orders_sent)}"
        " acknowledged",
        flush=True,
    )
    return 0 if record.verdict else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(run(arguments())))
