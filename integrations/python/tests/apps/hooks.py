# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""gunicorn.conf.py of the tests."""

from gradual_contract.gunicorn import child_exit as child_exit
from gradual_contract.gunicorn import post_worker_init as post_worker_init
