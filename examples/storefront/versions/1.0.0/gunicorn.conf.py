"""gunicorn: threads that serve, connections made after the fork, connections kept longer than the balancer keeps them."""

from __future__ import annotations

import os

from gradual_contract import gunicorn
from gradual_contract.gunicorn import child_exit as child_exit

bind = f"0.0.0.0:{os.environ.get('PORT') or 8080}"
workers = int(os.environ.get("WORKERS") or 2)
threads = int(os.environ.get("THREADS") or 8)
worker_class = "gthread"
worker_tmp_dir = os.environ.get("RUNTIME_DIRECTORY")  # in memory; gunicorn's workers touch a file to show that they live
wsgi_app = "app.main:application"
preload_app = False

# Longer than any balancer keeps an idle connection: a request must never meet a connection that is being closed.
keepalive = 75
graceful_timeout = 20
timeout = 30

accesslog = None
loglevel = "warning"
proc_name = "storefront"
# gunicorn's own control socket and the rest of what this service does not use stay off.
control_socket_disable = True


def post_worker_init(worker: object) -> None:
    """In each worker, after the fork."""
    from app import main

    gunicorn.post_worker_init(worker)
    main.start(main.application)
