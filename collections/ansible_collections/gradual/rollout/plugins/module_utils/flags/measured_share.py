# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Measure which users have a feature, by asking as those users through the front door; compare with an earlier
measurement."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import threading
import time
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.common import files
from ansible_collections.gradual.rollout.plugins.module_utils.common.http import Answer, HttpError, Session
from ansible_collections.gradual.rollout.plugins.module_utils.common.probe import USER_KEY, user_header

PATH = "/api/features"
WORKERS = 24
ATTEMPTS = 4
BUSY = (429, 503)
# A front door that is shut is not knocked at two thousand times.
GIVE_UP = 20
NOT_FOUND = "status 404"


class ShareError(Exception):
    """The share could not be measured; the message says what was seen."""


@dataclasses.dataclass(frozen=True)
class Where:
    """The path that answers with the features of the calling user, and where the application reads that user (`cookie
    NAME` or `header NAME`)."""

    path: str = PATH
    user_key: str = USER_KEY


@dataclasses.dataclass
class Measurement:
    """Who has what: {flag: numbers of the users who have it}, the numbers of all who got an answer, and how it went."""

    on: t.Dict[str, t.Set[int]]
    answered: t.Set[int]
    seconds: float = 0.0
    repeated: int = 0
    mistakes: t.List[str] = dataclasses.field(default_factory=list)

    @property
    def no_address(self) -> bool:
        """Whether the application has no address to ask at: every user got 404."""
        return bool(self.mistakes) and not self.answered and all(each.endswith(NOT_FOUND) for each in self.mistakes)


def user(number: int) -> str:
    """The name of a user; the same numbers are the same users in every measurement."""
    return f"share-{number:05d}"


def features_of(body: bytes, flags: t.Sequence[str]) -> t.Dict[str, bool]:
    """{flag: has it} from the application's answer; raises ShareError when a flag is missing, since a missing flag is
    no 'off'."""
    try:
        features = json.loads(body)["features"]
        found = {flag: features[flag] for flag in flags}
    except (ValueError, KeyError, TypeError) as error:
        raise ShareError(f"{PATH} does not answer with every flag ({error!r}): {body[:120]!r}") from error
    wrong = {flag: value for flag, value in found.items() if not isinstance(value, bool)}
    if wrong:
        raise ShareError(f"{PATH} answers {wrong}; expected true or false")
    return found


def _ask(session: Session, where: Where, number: int) -> Answer:
    """The answer to a user's browser; HttpError when there is none."""
    headers = {"Accept": "application/json", "User-Agent": "gradual-share"}
    return session.get(where.path, {**headers, **user_header(where.user_key, user(number))})


def _pause(answer: Answer) -> float:
    """Seconds to wait before asking again."""
    try:
        wanted = float(answer.headers.get("retry-after") or 1)
    except ValueError:
        wanted = 1.0
    return min(max(wanted, 0.1), 5.0)


def measure(
    base_url: str,
    flags: t.Sequence[str],
    users: int,
    rate: float,
    ca_path: t.Optional[str] = None,
    timeout: float = 5.0,
    where: Where = Where(),
) -> Measurement:
    """Ask as the users 1 to `users`, at most `rate` a second; users who got no answer are missing from `answered`, and
    told in `mistakes`."""
    try:
        sessions = [Session(base_url, timeout, ca_path) for _each in range(max(1, min(WORKERS, users)))]
    except HttpError as error:
        raise ShareError(str(error)) from error
    result = Measurement({flag: set() for flag in flags}, set())
    numbers = iter(range(1, users + 1))
    lock = threading.Lock()
    start = time.monotonic()

    def work(session: Session) -> None:
        while True:
            with lock:
                number = next(numbers, None) if len(result.mistakes) < GIVE_UP else None
            if number is None:
                break
            time.sleep(max(0.0, start + (number - 1) / rate - time.monotonic()))
            repeated, mistake, found = _ask_patiently(session, where, number, flags)
            with lock:
                result.repeated += repeated
                if found is None:
                    result.mistakes.append(f"{user(number)}: {mistake}")
                    continue
                result.answered.add(number)
                for flag, has in found.items():
                    if has:
                        result.on[flag].add(number)
        session.close()

    threads = [threading.Thread(target=work, args=(session,), daemon=True) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result.seconds = time.monotonic() - start
    return result


def _ask_patiently(
    session: Session, where: Where, number: int, flags: t.Sequence[str]
) -> t.Tuple[int, str, t.Optional[t.Dict[str, bool]]]:
    """(times repeated, last mistake, flags of the user or None). A closed connection or a busy answer is tried again, a
    wrong one is not."""
    mistake, repeated = "", -1
    for attempt in range(ATTEMPTS):
        repeated += 1
        try:
            answer = _ask(session, where, number)
        except HttpError as error:
            mistake = str(error)
            time.sleep(0.1 * attempt)
            continue
        repeated += answer.resent
        if answer.status == 200:
            try:
                return repeated, "", features_of(answer.body, flags)
            except ShareError as error:
                return repeated, str(error), None
        mistake = f"status {answer.status}"
        if answer.status not in BUSY:
            return repeated, mistake, None
        time.sleep(_pause(answer))
    return repeated, mistake, None


def compare(now: Measurement, before: t.Optional[t.Mapping[str, t.Sequence[int]]]) -> t.Dict[str, t.Dict[str, t.Any]]:
    """{flag: {users, on, share, lost}}; lost counts users who had the flag before, were asked again and do not have it
    now.

    Without an earlier measurement nobody can have lost anything; a flag that it does not hold counts as never shown.
    """
    result = {}
    answered = len(now.answered)
    for flag, having in now.on.items():
        had = set(before.get(flag, ())) if before else set()
        result[flag] = {
            "users": answered,
            "on": len(having),
            "share": round(len(having) / answered, 4) if answered else None,
            "lost": len((had & now.answered) - having),
        }
    return result


def load(path: str) -> t.Dict[str, t.List[int]]:
    """{flag: numbers of the users who had it} of an earlier measurement; raises ShareError when it cannot be read."""
    try:
        with open(path, encoding="utf-8") as handle:
            document = json.load(handle)
        return {str(flag): [int(number) for number in numbers] for flag, numbers in document["on"].items()}
    except FileNotFoundError as error:
        raise ShareError(f"previous: {path} does not exist; leave previous out at the first stage") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ShareError(f"previous: {path} is not a measurement of this module: {error!r}") from error


def save(path: str, measurement: Measurement) -> None:
    """Write the users who have each flag, in one step."""
    folder = os.path.dirname(path) or "."
    document = {
        "users": len(measurement.answered),
        "on": {flag: sorted(having) for flag, having in measurement.on.items()},
    }
    try:
        os.makedirs(folder, exist_ok=True)
        files.replace(path, json.dumps(document), durable=False)
    except OSError as error:
        raise ShareError(f"record: {path} cannot be written: {error.strerror}") from error


def told(mistakes: t.Sequence[str]) -> str:
    """The first mistakes and how many there are in all."""
    more = f" and {len(mistakes) - 3} more" if len(mistakes) > 3 else ""
    return "; ".join(itertools.islice(mistakes, 3)) + more
