# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Fixtures that several parts of the unit tests share."""

from __future__ import annotations

import hypothesis
import pytest

# How fast examples are made says something about the machine, not about the code.
hypothesis.settings.register_profile(
    "any machine",
    parent=hypothesis.settings.get_profile(hypothesis.settings.get_current_profile_name()),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("any machine")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock is renewed every fifth of a second."""
    # Not at the top: ansible-test runs the modules' tests where no controller code can be imported.
    from ansible_collections.gradual.rollout.plugins.plugin_utils import lease_renewal

    for name, seconds in (("EVERY", 0.2), ("PATIENCE", 0.1), ("AGAIN", 0.1), ("PAUSE", 0.02)):
        monkeypatch.setattr(lease_renewal, name, seconds)
