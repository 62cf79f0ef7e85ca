# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The items of the application contract (docs/application-contract.md), judged by what an application answered. Pure.

A finding is {item, severity, state, got, expected, add, consequence}: `state` is ok, missing, wrong or slow. Without an
item of the severity `must` nothing can be rolled out; without one of the severity `less`, `consequence` says what is
not measured.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.application import metrics_text
from ansible_collections.gradual.rollout.plugins.module_utils.application.metrics_text import Family, Page
from ansible_collections.gradual.rollout.plugins.module_utils.common.http import Answer
from ansible_collections.gradual.rollout.plugins.module_utils.gate.metrics import PROBES

OK, MISSING, WRONG, SLOW = "ok", "missing", "wrong", "slow"
MUST, LESS = "must", "less"
# The balancer waits for an answer of the readiness check no longer than this, in seconds.
SLOW_SECONDS = 1.0
PATHS = {
    "health": "/healthz",
    "ready": "/readyz",
    "version": "/version",
    "metrics": "/metrics",
    "features": "/api/features",
}
NO_PROBES = "Gradual's own requests are counted as requests of users in the response times and in the canary's metrics"
NO_SHARE = (
    "the share of users is taken from feature_flag_share, and users who lose a feature between two stages are not"
    " counted"
)

ABSENT = (MISSING, "status 404")

Finding = t.Dict[str, t.Any]
# An answer, or why there was none.
Reply = t.Union[Answer, str]
# (state, what was seen)
Judged = t.Tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Expected:
    """What is known of the application before it is asked. features: the flags to be rolled out, None for those that
    the application names itself; slow_seconds: the manifest's gate.slow_seconds; application, release, digest: None
    where any is right."""

    features: t.Optional[t.Tuple[str, ...]] = None
    slow_seconds: float = 0.5
    paths: t.Mapping[str, str] = dataclasses.field(default_factory=lambda: dict(PATHS))
    application: t.Optional[str] = None
    release: t.Optional[str] = None
    digest: t.Optional[str] = None


@dataclasses.dataclass(frozen=True)
class Seen:
    """What the application answered. users: for each user the answers to the same request, at the path `features`;
    metrics: before these requests, metrics_after: after them."""

    health: Reply
    ready: Reply
    version: Reply
    metrics: Reply
    metrics_after: Reply
    users: t.Mapping[str, t.Sequence[Reply]]


def judge(seen: Seen, expected: Expected) -> t.List[Finding]:
    """A finding for each item of the contract, in the order of its page; those about features if there are any."""
    before, page = (metrics_text.read(text_of(reply)) for reply in (seen.metrics, seen.metrics_after))
    features = page.features() if expected.features is None else list(expected.features)
    found = [_health(seen, expected), _ready(seen, expected), _version(seen, expected)]
    found.append(_metrics(seen, expected, page, features))
    families = [family for family in metrics_text.FAMILIES if features or not family.of_features]
    found += [_family(family, page, features, expected) for family in families]
    found.append(_probes(before, page))
    if features:
        found += [_shown(seen, expected, features), _same(seen, features)]
    return found


def failed(findings: t.Iterable[Finding], severity: str) -> t.List[Finding]:
    """Those of this severity that are not ok."""
    return [each for each in findings if each["severity"] == severity and each["state"] != OK]


def sentence(finding: Finding) -> str:
    """What is wrong with an item, what follows, and what to write; for a finding that is not ok."""
    return (
        f"{finding['item']} is {finding['state']}: got {finding['got']}, expected {finding['expected']}."
        f" Consequence: {finding['consequence']}. Add: {finding['add']}"
    )


def contract_paths(given: t.Optional[t.Mapping[str, t.Any]] = None) -> t.Dict[str, str]:
    """Where an application answers: the contract's paths, with those that differ. ValueError for an unknown one."""
    unknown = sorted(set(given or ()) - set(PATHS))
    if unknown:
        raise ValueError(f"application_paths: got {', '.join(unknown)}, expected any of {', '.join(PATHS)}")
    return {**PATHS, **{name: str(path) for name, path in (given or {}).items() if path}}


def internal_paths(paths: t.Mapping[str, str]) -> t.List[str]:
    """The first part of each path that only the fleet itself may request: all but that of the users' features."""
    return list(dict.fromkeys(path.strip("/").split("/")[0] for name, path in paths.items() if name != "features"))


def refusal(findings: t.Sequence[Finding], where: str) -> t.Optional[str]:
    """Why nothing can be rolled out with this application; None if it can."""
    lacking = failed(findings, MUST)
    if not lacking:
        return None
    count = f"{len(lacking)} of {len(findings)} items"
    return f"{where} lacks {count} of the application contract that a rollout needs. " + " ".join(
        map(sentence, lacking)
    )


def compares_hosts(findings: t.Iterable[Finding]) -> bool:
    """Whether the application counts what the gate compares a canary by."""
    names = [family.name for family in metrics_text.FAMILIES if not family.of_features]
    return all(each["state"] in (OK, SLOW) for each in findings if each["item"] in names)


def contract_notes(hosts: t.Mapping[str, t.Mapping[str, t.Any]]) -> t.List[str]:
    """A sentence for each item that the application lacks, with the hosts. hosts: results with `application_contract`,
    by host."""
    told: t.Dict[str, t.List[str]] = {}
    for host, result in hosts.items():
        for finding in result.get("application_contract") or ():
            if finding["state"] != OK:
                told.setdefault(sentence(finding), []).append(host)
    return [f"{', '.join(where)}: {what}" for what, where in told.items()]


def table(findings: t.Sequence[Finding]) -> t.List[str]:
    """The findings as lines of text: one line an item, and indented lines for what is not ok."""
    width = max((len(each["item"]) for each in findings), default=0)
    lines = []
    for each in findings:
        state = "ok" if each["state"] == OK else f"{each['state']} ({each['severity']})"
        lines.append(f"{state:<15} {each['item']:<{width}}  {each['got']}")
        if each["state"] != OK:
            lines += [f"    {key}: {each[key]}" for key in ("expected", "consequence", "add")]
    bad = {severity: len(failed(findings, severity)) for severity in (MUST, LESS)}
    lines.append(
        f"{len(findings)} items: {len(findings) - sum(bad.values())} ok, {bad[MUST]} to be corrected before a rollout,"
        f" {bad[LESS]} without which something is not measured"
    )
    if not any(each["item"] == "feature_requests_total" for each in findings):
        lines.append("No feature is given, and /metrics names none, so nothing about features was asked")
    return lines


# --- addresses ----------------------------------------------------------------------------------------------------


def _health(seen: Seen, expected: Expected) -> Finding:
    path = expected.paths["health"]
    return _finding(
        f"GET {path}",
        MUST,
        _status(seen.health),
        f"status 200 within {SLOW_SECONDS:g} s while the process is alive",
        f"a route {path} that answers 200 without asking the database, {_other('health')}",
        "the health check that runs every 5 minutes fails, and no rollout begins while its critical alert fires",
    )


def _ready(seen: Seen, expected: Expected) -> Finding:
    path = expected.paths["ready"]
    judged = _status(seen.ready)
    return _finding(
        f"GET {path}",
        MUST,
        judged,
        f"status 200 within {SLOW_SECONDS:g} s when the host may take traffic",
        f"a route {path} that answers 200 when the database answers, else 503, {_other('ready')}",
        "the balancer's check can time out and take the host out of traffic"
        if judged[0] == SLOW
        else "the balancer and Gradual cannot know when the host may take traffic",
    )


def _version(seen: Seen, expected: Expected) -> Finding:
    path = expected.paths["version"]
    wanted = {key: getattr(expected, key) for key in ("application", "release", "digest")}
    shown = ", ".join(f"{key} {value!r}" if value else key for key, value in wanted.items())
    return _finding(
        f"GET {path}",
        MUST,
        _status(seen.version, lambda answer: _of_version(answer, wanted)),
        f"JSON with {shown}",
        f"a route {path} that answers with the content of .release.json, read once when the process starts,"
        f" {_other('version')}",
        "Gradual cannot know which release runs, so it cannot switch a host",
    )


def _of_version(answer: Answer, wanted: t.Mapping[str, t.Optional[str]]) -> Judged:
    try:
        told = answer.json()
    except ValueError:
        told = None
    if not isinstance(told, dict):
        return WRONG, f"no JSON object: {_excerpt(answer)}"
    lacking = [key for key in wanted if not isinstance(told.get(key), str)]
    if lacking:
        return WRONG, f"no {', '.join(lacking)} in {_excerpt(answer)}"
    other = [f"{key} {told[key]!r}" for key, value in wanted.items() if value and told[key] != value]
    return (WRONG, ", ".join(other)) if other else (OK, f"{told['application']} {told['release']}")


def _shown(seen: Seen, expected: Expected, features: t.Sequence[str]) -> Finding:
    path = expected.paths["features"]
    replies = [reply for each in seen.users.values() for reply in each]
    judged = [_status(reply, lambda answer: _of_features(answer, features)) for reply in replies]
    worst = next((each for each in judged if each[0] != OK), judged[0])
    # Without the address the share is taken from elsewhere; an address that answers something else stops the stage.
    absent = worst == ABSENT
    return _finding(
        f"GET {path}",
        LESS if absent else MUST,
        worst,
        f'JSON {{"features": {{"{features[0]}": true or false}}}} with each feature, for the calling user',
        f"a route {path} that answers with the value of each flag for the calling user, {_other('features')}",
        NO_SHARE if absent else "the share of users cannot be measured, so every stage fails",
    )


def _of_features(answer: Answer, features: t.Sequence[str]) -> Judged:
    values = features_in(answer, features)
    if values is None:
        return WRONG, f'no object "features": {_excerpt(answer)}'
    lacking = [flag for flag in features if not isinstance(values.get(flag), bool)]
    return (WRONG, f"no true or false for {', '.join(lacking)}") if lacking else (OK, f"{len(features)} features")


def _same(seen: Seen, features: t.Sequence[str]) -> Finding:
    changing, compared = [], 0
    for user, replies in seen.users.items():
        known = [value for value in (features_in(reply, features) for reply in replies) if value is not None]
        compared += len(known) > 1
        if any(value != known[0] for value in known[1:]):
            changing.append(user)
    judged = (OK, "the same answers each time") if compared else (MISSING, "no two answers to compare")
    if changing:
        judged = (WRONG, f"different answers for {len(changing)} of {len(seen.users)} users")
    return _finding(
        "same user, same answer",
        MUST if changing else LESS,
        judged,
        "the same features for the same user each time",
        "evaluate each flag with the user as the targeting key; name the cookie or header of the user in the manifest"
        " (users: {key: cookie NAME})",
        "users get and lose a feature from one request to the next" if changing else NO_SHARE,
    )


def features_in(reply: Reply, features: t.Sequence[str]) -> t.Optional[t.Dict[str, t.Any]]:
    """{flag: value} of an answer at the path `features`, as far as it names these; None if it is another answer."""
    if not isinstance(reply, Answer) or reply.status != 200:
        return None
    try:
        told = reply.json()["features"]
        return {flag: told[flag] for flag in features if flag in told}
    except (ValueError, KeyError, TypeError):
        return None


# --- metrics ------------------------------------------------------------------------------------------------------


def _metrics(seen: Seen, expected: Expected, page: Page, features: t.Sequence[str]) -> Finding:
    path = expected.paths["metrics"]
    judged: Judged = (OK, f"{len(page.samples)} samples")
    if page.broken:
        judged = (WRONG, f"{len(page.broken)} lines that are no samples, the first one: {page.broken[0][:100]}")
    elif not page.samples:
        judged = (WRONG, "no samples")
    return _finding(
        f"GET {path}",
        MUST if features else LESS,
        _status(seen.metrics_after, lambda _answer: judged),
        f"Prometheus text within {SLOW_SECONDS:g} s",
        f"a route {path} with the metrics of all processes together, {_other('metrics')}",
        "a stage cannot be watched, so no feature can be shown to users"
        if features
        else "requests, errors and times of the application are not measured, and the canary cannot be compared",
    )


def _family(family: Family, page: Page, features: t.Sequence[str], expected: Expected) -> Finding:
    state, got, line = family.judge(page, features, expected.slow_seconds)
    return _finding(
        family.name,
        MUST if family.must and features else LESS,
        (state, got),
        family.wanted(expected.slow_seconds),
        line,
        family.consequence,
    )


def _probes(before: Page, after: Page) -> Finding:
    counts = [page.count("http_requests_total", route=PROBES) for page in (before, after)]
    timed = after.count("http_request_duration_seconds_count", route=PROBES)
    if counts[1] is None:
        judged = (MISSING, f"no http_requests_total with the route {PROBES}")
    elif counts[1] <= (counts[0] or 0.0):
        judged = (WRONG, f"the counter stays at {counts[1]:g} while Gradual sends requests")
    elif timed is None:
        judged = (WRONG, f"no http_request_duration_seconds with the route {PROBES}")
    else:
        judged = (OK, f"the counter grew by {counts[1] - (counts[0] or 0.0):g}")
    return _finding(
        f"route {PROBES}",
        LESS,
        judged,
        f"requests with the header X-Gradual-Probe counted under the route {PROBES}",
        f'if the request has the header X-Gradual-Probe, the label route is "{PROBES}", in http_requests_total and in'
        " http_request_duration_seconds, and the request counts for no feature",
        NO_PROBES,
    )


# --- parts of a finding -------------------------------------------------------------------------------------------


def _finding(item: str, severity: str, judged: Judged, expected: str, add: str, consequence: str) -> Finding:
    state, got = judged
    return {
        "item": item,
        # A busy host answers late too, and that must not refuse a release.
        "severity": LESS if state == SLOW else severity,
        "state": state,
        "got": got,
        "expected": expected,
        "add": add,
        "consequence": consequence,
    }


def _status(reply: Reply, then: t.Optional[t.Callable[[Answer], Judged]] = None) -> Judged:
    """missing without an answer of status 200, slow if it came late, else what `then` says of it."""
    if isinstance(reply, str):
        return MISSING, reply
    if reply.status != 200:
        return MISSING if reply.status in (404, 405) else WRONG, f"status {reply.status}"
    judged = then(reply) if then else (OK, f"status 200 in {reply.seconds * 1000:.0f} ms")
    if judged[0] == OK and reply.seconds > SLOW_SECONDS:
        return SLOW, f"an answer after {reply.seconds:.1f} s"
    return judged


def _other(name: str) -> str:
    return f"or its path in the inventory (application_paths: {{{name}: /PATH}})"


def text_of(reply: Reply) -> str:
    """The body of an answer of status 200; nothing for any other."""
    return reply.text if isinstance(reply, Answer) and reply.status == 200 else ""


def _excerpt(answer: Answer) -> str:
    return " ".join(answer.text.split())[:100]
