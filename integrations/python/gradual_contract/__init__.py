# Copyright: The Gradual project
# SPDX-License-Identifier: BSD-2-Clause
"""Gradual's application contract as a library: docs/integrations.md."""

# First: prometheus_client looks at the environment when it is imported.
from . import multiprocess as multiprocess
from .application import Gradual
from .multiprocess import ContractError
from .request import Details, Request, matched

__all__ = ["ContractError", "Details", "Gradual", "Request", "matched"]
__version__ = "0.1.0"
