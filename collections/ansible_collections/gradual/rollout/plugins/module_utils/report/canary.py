# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The claim about the first host on the new code: what its users got, compared with users of the others, before these
followed."""

from __future__ import annotations

from ansible_collections.gradual.rollout.plugins.module_utils.common.text import span
from ansible_collections.gradual.rollout.plugins.module_utils.report.events import (
    Claim,
    Events,
    Line,
    claim,
    count,
    items,
    mapping,
    number,
    plural,
)
from ansible_collections.gradual.rollout.plugins.module_utils.report.stages import recomputed

GONE_ON = ("promote", "continue")


def claims(events: Events) -> list[Claim]:
    """All claims of this file; none where the manifest knows no such watch."""
    bake = mapping(events.manifest.get("bake"))
    if "canary" not in bake:
        return []
    skipped, began = events.last("canary.skipped"), events.last("canary.began")
    if not count(bake["canary"]):
        return [_not_needed("the manifest wants no watch of the first host", "manifest.bake.canary is 0")]
    if skipped is not None and (began is None or began["seq"] < skipped["seq"]):
        return [_not_needed(str(skipped["data"].get("reason")), "canary.skipped: reason")]
    return [_watched(events, began)]


def _not_needed(statement: str, rule: str) -> Claim:
    return claim("canary", statement, None, [], rule, good=None, criteria=(7,), qualities=("reliability",))


def _watched(events: Events, began: Line | None) -> Claim:
    """The newest watch: one that was cut off was begun anew."""
    since = began["seq"] if began else 0
    looks = [line for line in events.of("canary.looked") if line["seq"] > since]
    passed = next((line for line in reversed(events.of("canary.passed")) if line["seq"] > since), None)
    said, again = [str(line["data"].get("verdict")) for line in looks], [recomputed(line) for line in looks]
    differ = [line["seq"] for line, old, new in zip(looks, said, again) if old != new]
    data = mapping(began["data"]) if began else {}
    control = [str(host) for host in items(data.get("control"))]
    last = mapping(looks[-1]["data"]) if looks else {}
    text = (
        f"{data.get('host')} had the new code first; for {span(number(last.get('elapsed')))} its users were compared"
        f" with those of {', '.join(control)}; "
    )
    text += f"the gate looked {plural(len(looks), 'time')} and said {said[-1] if said else 'nothing'}"
    text += f": {last['reason']}" if last.get("reason") else ""
    text += "; the other hosts followed" if passed is not None else "; no other host followed"
    if differ:
        text += f". Its recorded counts do NOT give the recorded verdict (lines {', '.join(map(str, differ))})"
    return claim(
        "canary",
        text,
        (
            {
                "host": data.get("host"),
                "control": control,
                "looks": len(looks),
                "verdict": said[-1],
                "recomputed": again[-1],
                "passed": passed is not None,
            }
            if looks
            else None
        ),
        [began, *looks, passed],
        "canary.looked since the last canary.began: counts and settings judged again give each verdict; canary.passed"
        " only after promote or continue",
        good=not differ and (passed is None or (bool(said) and said[-1] in GONE_ON)),
        criteria=(7,),
        qualities=("reliability",),
        otherwise="no host was watched on the new code" if began is None else "the gate did not look at the first host",
    )
