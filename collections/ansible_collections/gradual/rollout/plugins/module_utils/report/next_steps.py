# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What a person should do next, for this outcome and this failure."""

from __future__ import annotations

from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.report import rollback, timeline
from ansible_collections.gradual.rollout.plugins.module_utils.report.events import (
    FAILED,
    NOT_MEASURED,
    Claim,
    Events,
    mapping,
)

BY_STEP = {
    "preflight": "Nothing has changed. Mend what the message names, then deploy again.",
    "backup": (
        "Read why the backup could not be proven, mend it, then deploy again: nothing was changed, and nothing migrates"
        " without a receipt."
    ),
    "migrate": (
        "No host has changed. Look at what the migration left: its revision (alembic current) and invalid indexes"
        " (SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid). Mend it and release it as a new version."
        " Where the database host was lost: promote the standby, write it into the group database_primary, provision,"
        " and deploy the same release again."
    ),
    "release": (
        "Read the journal of the host (journalctl -u APPLICATION): the release did not come up as it should. "
        "Mend it and release it as a new version; the digest of a version never changes."
    ),
    "ramp": (
        "Compare the errors of users with and without the feature in the chart and in the application's log; "
        "mend the feature and release it as a new version."
    ),
    "verify": "Read which smoke test failed and what it saw; mend the feature or the test, then deploy a new version.",
}

BY_CANARY = (
    "Users of the first host got worse answers than those of the others though every feature was off: the code itself"
    " is at fault, not a flag. Read what it logged while users were on it, mend it and release it as a new version; the"
    " digest of a version never changes."
)
NOTHING_KNOWN = (
    "The gate saw no harm, it saw too little: mend what the message names, then deploy the same release again."
)
# What is of course not as it should be once a rollout went back: the old release knows no features.
OF_COURSE = ("certified", "dashboard", "watched")


def next_steps(events: Events, state: dict[str, Any], claims: list[Claim]) -> list[str]:
    """Sentences in the order in which to do them."""
    steps: list[str] = []
    outcome = state["outcome"]
    application = str(events.manifest.get("application", "the application"))
    lost = sorted({str(line["data"].get("host")) for line in events.of("host.lost")})
    if state["open"] and outcome != "incomplete":
        steps.append(
            "The rollout is open. To continue: ansible-playbook deploy.yml with the same manifest; to roll back:"
            " ansible-playbook rollback.yml."
        )
    if outcome == "incomplete" or timeline.left(events):
        left = ", ".join(timeline.left(events) or lost) or "see the table of hosts"
        steps.append(
            f"Not every host is back ({left}); the table of hosts says which of them get traffic. "
            "When they can be reached again: ansible-playbook rollback.yml."
        )
    elif lost and outcome == "completed":
        steps.append(
            f"Find out why {', '.join(lost)} was lost. When it is back, ansible-playbook deploy.yml with the same"
            " manifest brings it to the release."
        )
    asked = rollback.asked(events)
    failed = timeline.failure(events) if asked is None else None
    if failed is not None and outcome != "completed":
        step = str(failed["data"].get("step"))
        steps.append(f"{step} failed on {failed['data'].get('host')}: {_short(failed['data'].get('error'))}")
        if kill := events.last("flag.killed"):
            flag = kill["data"].get("flag")
            steps.append(
                f"{flag} stays off until it is allowed again. When its cause is fixed: ansible-playbook"
                f" playbooks/allow_flag.yml -e flag={flag}, then deploy a new version."
            )
        elif step == "ramp" and not events.of("gate.looked", verdict="abort"):
            steps.append(
                "The gate did not stop it, so the features need not be at fault: mend what the message names, then"
                " deploy the same release again."
            )
        elif (
            step == "release"
            and (last := events.last("canary.looked"))
            and last["seq"] > (events.last("canary.passed") or {"seq": 0})["seq"]
        ):
            steps.append(BY_CANARY if last["data"].get("verdict") == "abort" else NOTHING_KNOWN)
        elif step in BY_STEP:
            steps.append(BY_STEP[step].replace("APPLICATION", application))
    if outcome == "returned" and asked is not None:
        kept = mapping((events.last("return.finished") or {}).get("data")).get("hosts_kept")
        code = (
            f"every host runs what it ran before{', on the expanded schema' if events.of('migration.applied') else ''}"
        )
        steps.append(
            "It was rolled back because somebody asked for it;"
            f" {'the features are off, and the code stayed' if kept else code}. To roll it out again: ansible-playbook"
            " deploy.yml with the same manifest; or fix it and release it as a new version."
        )
    if outcome == "completed":
        steps += _after_success(events)
    failed_claims = [
        claim
        for claim in claims
        if claim["status"] == FAILED and (outcome == "completed" or claim["id"] not in OF_COURSE)
    ]
    steps += [f"Fix or explain: {claim['statement']}" for claim in failed_claims]
    blind = [
        claim["id"] for claim in claims if claim["status"] == NOT_MEASURED and (claim["criteria"] or claim["qualities"])
    ]
    if blind and outcome == "completed":
        steps.append(f"Measure what was not measured: {', '.join(blind)}.")
    return steps


def _after_success(events: Events) -> list[str]:
    steps = ["Watch the burn-rate alerts for a day: no gate stops harm that shows after the ramp."]
    if events.features:
        steps.append(
            "When the code no longer asks for the flags (feature_evaluations_total stands still): ansible-playbook"
            " playbooks/retire.yml."
        )
    if mapping(events.manifest.get("migrations")).get("backfills") and not events.of("backfill.finished"):
        steps.append(
            "Rows that were there before are still to be filled in: ansible-playbook playbooks/backfill.yml, again and"
            " again until it is done."
        )
    if events.manifest.get("migrations") and not events.of("contract.applied"):
        steps.append(
            "When no rollback will be needed any more: ansible-playbook playbooks/contract.yml. That is the point of no"
            " return."
        )
    return steps


def _short(text: Any) -> str:
    first = str(text or "no reason was given").strip().splitlines()[0]
    return first if len(first) <= 300 else first[:297] + "..."
