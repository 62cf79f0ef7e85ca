# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Flag files in flagd's format: build definitions, plan a change.

Everything here is a pure function over parsed JSON. A share is a whole percentage of the users, 0 to 100.
"""

from __future__ import annotations

import dataclasses
import json
import math
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.flags import kill_mark
from ansible_collections.gradual.rollout.plugins.module_utils.flags.lint import lint, refusals


class FlagFileError(Exception):
    """A flag file, or what is wanted of it, cannot be used; the message says what to write instead.

    `written`: whether the file holds what was wanted all the same, so that only seeing it evaluated has failed.
    `killed`: the marks of its killed flags then."""

    written = False
    changed = False
    killed: t.Mapping[str, t.Any] = {}


@dataclasses.dataclass(frozen=True)
class Wanted:
    """One flag as it shall be: `certified` % for good, `baking` % until `expiry` (seconds since the epoch).

    `labels` are shares under 100, rising: with the feature off for all, each user is labelled by the first share that
    shall show it.
    """

    flag: str
    certified: int
    baking: t.Optional[int] = None
    expiry: t.Optional[int] = None
    labels: t.Tuple[int, ...] = ()

    def percent_at(self, now: float) -> int:
        """The share that holds at a time in seconds since the epoch."""
        if self.baking is not None and self.expiry is not None and int(now) < self.expiry:
            return self.baking
        return self.certified


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a change would do: the new document, which flags differ, what to tell the operator."""

    document: t.Dict[str, t.Any]
    revision: int
    differing: t.List[str]
    warnings: t.List[str]
    marked: bool = False  # whether only the metadata tells other flags than before

    @property
    def changed(self) -> bool:
        return bool(self.differing) or self.marked


def unchanged(current: t.Optional[t.Mapping[str, t.Any]]) -> Plan:
    """The plan that leaves a file as it is."""
    return Plan(dict(current or {"flags": {}}), revision_of(current), [], [])


def wanted_from(entry: t.Mapping[str, t.Any]) -> Wanted:
    """Check one entry of the module's `flags` and return it; raises FlagFileError with the key, the value and the
    remedy."""
    flag = str(entry.get("flag") or "")
    if not flag:
        raise FlagFileError("flags: an entry has no flag; write flag: <key of the feature>")
    certified = _percentage(entry.get("certified"), flag, "certified")
    labels = _labels(entry.get("labels"), flag)
    if labels and (certified or entry.get("baking")):
        raise FlagFileError(
            f"flag {flag}: labels {list(labels)} are for a feature that is off, got certified {certified} %, baking"
            f" {entry.get('baking')}"
        )
    if entry.get("baking") is None:
        return Wanted(flag, certified, labels=labels)
    baking = _percentage(entry.get("baking"), flag, "baking")
    if baking == certified:
        return Wanted(flag, certified)
    expiry = entry.get("expiry")
    if isinstance(expiry, bool) or not isinstance(expiry, (int, float)) or not math.isfinite(expiry) or expiry <= 0:
        raise FlagFileError(
            f"flag {flag}: baking {baking} % needs an expiry in seconds since the epoch, got {expiry!r}; a share that"
            " is not certified may not last for ever"
        )
    return Wanted(flag, certified, baking, int(expiry))


def _percentage(value: t.Any, flag: str, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 100:
        raise FlagFileError(f"flag {flag}: {key} is {value!r}; write a whole number from 0 to 100")
    return int(value)


def _labels(value: t.Any, flag: str) -> t.Tuple[int, ...]:
    labels = [] if value is None else value
    whole = isinstance(labels, (list, tuple)) and all(
        isinstance(each, int) and not isinstance(each, bool) and 0 < each < 100 for each in labels
    )
    if not whole or list(labels) != sorted(set(labels)):
        raise FlagFileError(
            f"flag {flag}: labels is {value!r}; write the shares of the stages under 100, rising, like [25, 50]"
        )
    return tuple(labels)


def label(percent: int) -> str:
    """The variant of those users who shall be the first to have the feature at this share."""
    return f"aa{percent}"


def shown_at(percent: int, holdback: int = 0) -> int:
    """The share of users that a stage shows the feature to while it bakes: all but those who are held back as its
    control."""
    return min(percent, 100 - holdback)


def flags_at(
    features: t.Sequence[t.Mapping[str, t.Any]],
    certified: int,
    baking: t.Optional[int] = None,
    expiry: t.Optional[int] = None,
    labels: t.Optional[t.Sequence[int]] = None,
) -> t.List[t.Dict[str, t.Any]]:
    """The list `flags` of the module feature_flags: every feature of a manifest at the same share of users, in
    percent."""
    return [
        {"flag": feature["flag"], "certified": certified, "baking": baking, "expiry": expiry, "labels": labels}
        for feature in features
    ]


def labels_of(stages: t.Sequence[int], holdback: int = 0) -> t.List[int]:
    """The shares under 100 at which a stage adds users, rising; [] where no stage leaves anybody to compare with."""
    return sorted({share for share in (shown_at(percent, holdback) for percent in stages) if 0 < share < 100})


def fractional(percent: int) -> t.Union[str, t.Dict[str, t.Any]]:
    """The rule that gives `on` to this share of the users; nobody at 0."""
    if percent == 0:
        return "off"
    return {"fractional": [["on", percent], ["off", 100 - percent]]}


def targeting(wanted: Wanted) -> t.Optional[t.Dict[str, t.Any]]:
    """The flag's targeting rule, None when nobody shall have the feature.

    While it bakes the rule carries its own end, so every host falls back by itself to what was certified.
    """
    if wanted.baking is not None:
        running = {"<": [{"var": "$flagd.timestamp"}, wanted.expiry]}
        return {"if": [running, fractional(wanted.baking), fractional(wanted.certified)]}
    if wanted.labels:
        # Cut at the same places, from the same end, as the shares will be: the same hash, so the same users.
        cuts = (0, *wanted.labels)
        buckets: t.List[t.List[t.Any]] = [[label(upper), upper - lower] for lower, upper in zip(cuts, wanted.labels)]
        return {"fractional": [*buckets, ["off", 100 - wanted.labels[-1]]]}
    rule = fractional(wanted.certified)
    return rule if isinstance(rule, dict) else None


def definition(wanted: Wanted, revision: int) -> t.Dict[str, t.Any]:
    """The whole definition of one flag."""
    built: t.Dict[str, t.Any] = {
        "state": "ENABLED",
        "variants": {"on": True, "off": False, **{label(percent): False for percent in wanted.labels}},
        "defaultVariant": "off",
        "metadata": {"revision": revision},
    }
    rule = targeting(wanted)
    if rule is not None:
        built["targeting"] = rule
    return built


def parse(text: str) -> t.Dict[str, t.Any]:
    """The document in a flag file, with its `flags`; raises FlagFileError when one of them is no JSON object."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FlagFileError(f"the flag file is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("flags", {}), dict):
        raise FlagFileError('the flag file has no object "flags" at its top')
    return {"flags": {}, **document}


def render(document: t.Mapping[str, t.Any]) -> str:
    """The text that is written: stable, so that equal documents are equal files."""
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def revision_of(document: t.Optional[t.Mapping[str, t.Any]], flag: t.Optional[str] = None) -> int:
    """The revision of a flag, or the highest of the file; 0 where none is written."""
    if document is None:
        return 0
    flags = document.get("flags")
    flags = flags if isinstance(flags, dict) else {}
    if flag is not None:
        return _revision(flags.get(flag))
    return max([_revision(document)] + [_revision(each) for each in flags.values()])


def _revision(holder: t.Any) -> int:
    metadata = holder.get("metadata") if isinstance(holder, dict) else None
    revision = metadata.get("revision") if isinstance(metadata, dict) else None
    usable = isinstance(revision, (int, float)) and not isinstance(revision, bool) and math.isfinite(revision)
    return int(revision) if usable and revision is not None else 0


def managed(current: t.Optional[t.Mapping[str, t.Any]]) -> t.List[str]:
    """The flags of a file that a rollback without a ledger turns off: those that were set together last, as its
    metadata tells; without that, all that have the form that Gradual writes."""
    flags = (current or {}).get("flags")
    flags = flags if isinstance(flags, dict) else {}
    metadata = (current or {}).get("metadata")
    try:
        named = json.loads(metadata["features"]) if isinstance(metadata, dict) and "features" in metadata else None
    except (TypeError, ValueError):
        named = None
    if isinstance(named, list):
        return [name for name in named if isinstance(name, str) and name in flags]
    return sorted(name for name, held in flags.items() if _is_ours(held))


def _is_ours(held: t.Any) -> bool:
    variants = held.get("variants") if isinstance(held, dict) else None
    form = (
        isinstance(variants, dict)
        and variants.get("on") is True
        and variants.get("off") is False
        and held.get("defaultVariant") == "off"
    )
    return form and _revision(held) > 0


def plan(
    current: t.Optional[t.Mapping[str, t.Any]],
    wanted: t.Sequence[Wanted],
    revision: int,
    application: t.Optional[str] = None,
    absent: bool = False,
    mark: bool = True,
) -> Plan:
    """What a file must become so that the wanted flags hold; flags of others stay as they are.

    `current` is the parsed file, None when there is none. With `absent` the flags are taken out. The revision always
    grows, so that a process which still evaluates the old file cannot be mistaken for one that has read the new one.
    With `mark` the metadata tells which flags were wanted, so that they can be found without the ledger.
    A killed flag keeps the mark of the kill, and can only be off: whatever else is wanted of it is a FlagFileError.
    What makes a provider refuse the whole file stops a change that shows a feature to anybody, and is only told when
    all is switched off.
    """
    names = [each.flag for each in wanted]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise FlagFileError(f"flags: {', '.join(doubled)} is named more than once; name each flag once")
    before = dict(current) if current is not None else {"flags": {}}
    flags = dict(before.get("flags") or {})
    killed = kill_mark.marks(before, names)
    shown = [each.flag for each in wanted if each.flag in killed and targeting(each) is not None and not absent]
    if shown:
        raise FlagFileError("; ".join(refusal_of(flag, killed[flag]) for flag in shown))
    differing = []
    for each in wanted:
        held = flags.get(each.flag)
        if held is not None if absent else not same(held, definition(each, 0)):
            differing.append(each.flag)
    new_revision = max(revision, revision_of(current) + 1) if differing else revision_of(current)
    if differing:
        for each in wanted:
            if absent:
                flags.pop(each.flag, None)
            else:
                flags[each.flag] = kill_mark.marked(definition(each, new_revision), killed.get(each.flag))
    metadata = dict(before["metadata"]) if isinstance(before.get("metadata"), dict) else {}
    if differing or current is None:
        metadata["revision"] = new_revision
        if application:
            metadata["application"] = application
    told = json.dumps(sorted(names))  # as text: flagd takes no list in metadata
    marked = mark and not absent and metadata.get("features", "[]") != told
    if marked:
        metadata["features"] = told
    document = {**before, "flags": flags, "metadata": metadata}
    mistakes = lint({"flags": {name: flags[name] for name in names if name in flags}}) + refusals(document, but=names)
    if mistakes and not all(each.certified == 0 and not each.baking for each in wanted):
        raise FlagFileError("the flag file would be wrong: " + "; ".join(mistakes))
    return Plan(document, new_revision, differing, mistakes, marked)


def refusal_of(flag: str, mark: kill_mark.Mark) -> str:
    """Why a flag is not shown, and what to type."""
    return f"{kill_mark.sentence(flag, dataclasses.asdict(mark))}. It stays off. {kill_mark.remedy(flag)}"


def not_shown(current: t.Optional[t.Mapping[str, t.Any]], wanted: t.Sequence[Wanted], now: float) -> t.List[str]:
    """The flags whose stage cannot be extended, because a file does not show it any more: it has ended, or another
    share is written."""
    flags = (current or {}).get("flags")
    flags = flags if isinstance(flags, dict) else {}
    return [each.flag for each in wanted if not _is_shown(flags.get(each.flag), each, now)]


def _is_shown(held: t.Any, wanted: Wanted, now: float) -> bool:
    try:
        expiry = held["targeting"]["if"][0]["<"][1]
        return bool(expiry > now) and same(held, definition(dataclasses.replace(wanted, expiry=expiry), 0))
    except (KeyError, IndexError, TypeError):
        return False


def same(held: t.Any, built: t.Mapping[str, t.Any]) -> bool:
    """Whether two definitions answer alike: all but the metadata."""
    if not isinstance(held, dict):
        return False
    return {k: v for k, v in held.items() if k != "metadata"} == {k: v for k, v in built.items() if k != "metadata"}
