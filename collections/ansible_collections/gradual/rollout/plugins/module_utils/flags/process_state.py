# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What the processes of an application evaluate: read from the text of /metrics, held against what was written."""

from __future__ import annotations

import math
import re
import typing as t

SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+-?\d+)?\s*$")
LABEL = re.compile(r'\s*(?P<name>[a-zA-Z_][a-zA-Z0-9_]*)="(?P<value>(?:[^"\\]|\\.)*)"\s*(?:,|$)')
ESCAPES = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}
# Each process reports the share over 100 fixed users: four standard deviations of a share of 50 in 100, rounded down.
TOLERANCE = 0.17

Process = t.Dict[str, t.Any]


def samples(text: str, names: t.Container[str]) -> t.Iterator[t.Tuple[str, t.Dict[str, str], float]]:
    """(name, labels, value) of each sample with one of the names in Prometheus' text format; lines that are not samples
    are passed over."""
    for line in text.splitlines():
        match = SAMPLE.match(line) if line and not line.startswith("#") else None
        if match is None or match["name"] not in names:
            continue
        try:
            value = float(match["value"])
        except ValueError:
            continue
        labels = {
            each["name"]: re.sub(r"\\[n\"\\]", lambda found: ESCAPES[found.group()], each["value"])
            for each in LABEL.finditer(match["labels"] or "")
        }
        yield match["name"], labels, value


def processes(text: str, flags: t.Sequence[str]) -> t.List[Process]:
    """[{pid, flag, revision, share}] as the application reports them, sorted; a figure that is missing or not a number
    is None."""
    seen: t.Dict[t.Tuple[str, str], Process] = {}
    keys = {"feature_flag_revision": "revision", "feature_flag_share": "share"}
    for name, labels, value in samples(text, keys):
        flag, pid = labels.get("flag", ""), labels.get("pid", "")
        if flag not in flags or not pid:
            continue
        entry = seen.setdefault((flag, pid), {"pid": pid, "flag": flag, "revision": None, "share": None})
        if math.isfinite(value):
            entry[keys[name]] = int(value) if name == "feature_flag_revision" else round(value, 6)
    return [seen[key] for key in sorted(seen)]


def living(found: t.Sequence[Process], exists: t.Callable[[str], bool]) -> t.List[Process]:
    """The processes that are still there. When not one is, their numbers come from another namespace and say nothing:
    all are kept."""
    there = [each for each in found if exists(each["pid"])]
    return there or list(found)


def speaks(text: str) -> bool:
    """Whether the text is the metrics of an application that keeps the contract, whichever flags it knows."""
    return any(True for _sample in samples(text, ("http_requests_total", "http_request_duration_seconds_count")))


def complaints(
    found: t.Sequence[Process], wanted: t.Mapping[str, t.Tuple[int, int]], speaking: bool = False
) -> t.List[str]:
    """Where the processes differ from what was written, one sentence each; [] when every one evaluates it.

    `wanted` holds {flag: (revision, percent)}. No process at all is a complaint too: silence is not agreement. One
    exception: a release that does not know a flag cannot show its feature, so 0 % holds when the application is
    `speaking` and names the flag nowhere.
    """
    told = []
    for flag, (revision, percent) in wanted.items():
        of_flag = [each for each in found if each["flag"] == flag]
        if not of_flag and not (speaking and percent == 0):
            told.append(f"no process reports what it evaluates for {flag} (feature_flag_revision is missing)")
        for each in of_flag:
            if each["revision"] != revision:
                told.append(f"process {each['pid']} evaluates revision {each['revision']} of {flag}, wanted {revision}")
            elif not _agrees(each["share"], percent):
                told.append(
                    f"process {each['pid']} gives {flag} to a share of {each['share']}, wanted {percent / 100:g}"
                )
    return told


def shares(hosts: t.Mapping[str, t.Sequence[Process]]) -> t.Dict[str, t.Dict[str, t.Any]]:
    """{flag: {users, on, share, lost}} of the processes of all hosts, as feature_share has it: the mean of their shares
    of the fixed ids. Of users nothing is known."""
    found: t.Dict[str, t.List[float]] = {}
    for processes_of_host in hosts.values():
        for each in processes_of_host:
            if each["share"] is not None:
                found.setdefault(each["flag"], []).append(each["share"])
    return {
        flag: {"users": None, "on": None, "share": round(sum(seen) / len(seen), 4), "lost": None}
        for flag, seen in sorted(found.items())
    }


def unlabelled(text: str, wanted: t.Mapping[str, t.Sequence[str]]) -> t.List[str]:
    """{flag: variants} that requests must be counted by: a sentence for each flag of which a series is missing. Series
    are born with the file."""
    counted: t.Dict[str, t.Set[str]] = {}
    for _name, labels, _value in samples(text, ("feature_requests_total",)):
        counted.setdefault(labels.get("feature", ""), set()).add(labels.get("variant", ""))
    missing = {
        flag: [variant for variant in variants if variant not in counted.get(flag, ())]
        for flag, variants in wanted.items()
    }
    return [
        f"feature_requests_total of {flag} has no series with the variant {', '.join(variants)}: the application must"
        " count requests by the variant as it was evaluated (docs/application-contract.md); without that write bake:"
        " {aa: 0}"
        for flag, variants in missing.items()
        if variants
    ]


def _agrees(share: t.Optional[float], percent: int) -> bool:
    if share is None:
        return False
    if percent in (0, 100):
        return share == percent / 100
    return abs(share - percent / 100) <= TOLERANCE
