"""Many revisions in one process of the release's environment, on a real server: one load of the tool, a fresh beginning
for each step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .releases import FIRST, Step, file, release
from .server import Shop
from .test_adapters import apply, migrator

SEEN = Step(2, "CREATE TABLE seen (parent int, own int)")
STEPS = [FIRST, SEEN, *(Step(number, "SELECT 1") for number in range(3, 6))]
# In a revision: what process it runs in, and that none of the other revisions has run in it.
ALEMBIC = """
    import os, sys
    assert not hasattr(sys, "been_here")
    sys.been_here = True
    op.execute(f"INSERT INTO seen VALUES ({os.getppid()}, {os.getpid()})")
"""
DJANGO = """

def look(apps, editor):
    import os, sys
    assert not hasattr(sys, "been_here")
    sys.been_here = True
    editor.execute(f"INSERT INTO seen VALUES ({os.getppid()}, {os.getpid()})")


Migration.operations.append(migrations.RunPython(look))
"""
# A thread, as an application may have one: the process does the step itself.
THREAD = "import threading, time\nthreading.Thread(target=time.sleep, args=(0.3,)).start()\n"


def looking(shop: Shop, tool: str) -> Path:
    folder = release(shop, tool, *STEPS)
    for one in STEPS[2:]:
        text = file(folder, tool, one).read_text()
        if tool == "alembic":
            text = text.replace("    if True:\n", ALEMBIC + "    if True:\n")
        file(folder, tool, one).write_text(text if tool == "alembic" else text + DJANGO)
    return folder


def seen(shop: Shop) -> Any:
    return shop.value("SELECT array[count(DISTINCT parent), count(DISTINCT own)] FROM seen")


@pytest.mark.parametrize("tool", ["alembic", "django"])
def test_one_process_does_all_steps_and_each_begins_afresh(empty: Shop, tool: str) -> None:
    folder = looking(empty, tool)
    with migrator(empty, tool, folder) as run:
        done = run.apply()
        assert run.workers.worker is not None
        process = run.workers.worker.process
    assert [one["attempts"] for one in done["applied"]] == [1] * len(STEPS)
    assert seen(empty) == [1, 3]
    assert process.returncode == 0


def test_a_process_with_a_thread_does_one_step(empty: Shop) -> None:
    folder = looking(empty, "django")
    settings = folder / "project/settings.py"
    settings.write_text(settings.read_text() + THREAD)
    assert len(apply(empty, "django", folder)["applied"]) == len(STEPS)
    assert seen(empty) == [1, 3]
