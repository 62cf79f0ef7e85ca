# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""Hooks for gunicorn.conf.py: `from gradual_contract.gunicorn import child_exit, post_worker_init`.

Without them a worker makes its provider at its first request. With them it does so before, the workers share their
metrics wherever they run, and the metrics of a dead worker go with it at once.
"""

from __future__ import annotations

from typing import Any

from .multiprocess import mark_process_dead


def post_worker_init(_worker: Any) -> None:
    """In each worker, after the fork and after the application was loaded."""
    from .application import made

    for gradual in made:
        gradual.start()


def child_exit(_server: Any, worker: Any) -> None:
    """In the first process: the gauges of a dead worker go with it."""
    mark_process_dead(worker.pid)
