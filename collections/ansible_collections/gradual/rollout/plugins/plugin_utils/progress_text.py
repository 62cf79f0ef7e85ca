# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a look, a measurement of shares or a replay has found, in one line."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.gradual.rollout.plugins.module_utils.common import text


def look_sentence(look: t.Mapping[str, t.Any], number: t.Optional[int] = None) -> str:
    """A look as one line: "25 %, look 3, 30 s: continue — search errors with the feature 0 % of 420, …"."""
    _expect(look, "look_sentence", "the look of gradual.rollout.gate_look", "verdict", "reason")
    where = [f"{look['percent']} %"] if look.get("percent") is not None else []
    where += [f"look {number}"] if number is not None else []
    where += [f"{look['elapsed']:.0f} s"] if isinstance(look.get("elapsed"), (int, float)) else []
    deadline = "; the deadline has passed" if look.get("deadline_passed") else ""
    prefix = ", ".join(where) + ": " if where else ""
    return f"{prefix}{look['verdict']} — {look['reason']}{deadline}"


def replay_sentence(replayed: t.Mapping[str, t.Any]) -> str:
    """One result of gate_replay as one line: "checkout: abort at 25 %, look 7, 31 bad served — …"."""
    _expect(
        replayed,
        "replay_sentence",
        "a result of gradual.rollout.gate_replay",
        "name",
        "verdict",
        "stage",
        "look",
        "bad_served",
        "reason",
    )
    where = f"{replayed['verdict']} at {replayed['stage']:g} %, look {replayed['look']}"
    return f"{replayed['name']}: {where}, {text.number(replayed['bad_served'])} bad served — {replayed['reason']}"


def share_sentence(measured: t.Mapping[str, t.Any], percent: t.Optional[int] = None) -> str:
    """The result of feature_share as one line: "25 %: search 25.4 % of 2,000 users, …; nobody lost a feature"."""
    _expect(measured, "share_sentence", "the result of gradual.rollout.feature_share", "features", "lost")
    parts = []
    for flag, seen in measured["features"].items():
        share = "not measured"
        if seen.get("users"):
            share = f"{text.percent(seen['share'])} of {text.number(seen['users'])} users"
        elif seen.get("share") is not None:
            share = f"{text.percent(seen['share'])} in the application's processes (feature_flag_share)"
        parts.append(f"{flag} {share}")
    lost = int(measured["lost"] or 0)
    end = f"{lost} users lost a feature" if lost else "nobody lost a feature"
    if measured.get("compared") is False:
        end = "first measurement"
    elif measured["lost"] is None:
        end = "whether users lost a feature is not measured, because the application has no address to ask at"
    return (f"{percent} %: " if percent is not None else "") + "; ".join([*([", ".join(parts)] if parts else []), end])


def _expect(value: t.Any, name: str, what: str, *keys: str) -> None:
    if not hasattr(value, "keys") or any(key not in value for key in keys):
        raise AnsibleFilterError(f"{name} needs {what}, with {' and '.join(keys)}; got {value!r:.120}")
