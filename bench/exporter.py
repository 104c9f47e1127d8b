"""A minimal exporter of one counter: what one process per program costs at least in Python."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, start_http_server


def main() -> None:
    """Count seconds until killed; the port stands on standard output."""
    registry = CollectorRegistry()
    ticks = Counter("ticks", "Ticks so far.", registry=registry)
    server, _ = start_http_server(0, "127.0.0.1", registry=registry)
    print(server.server_port, flush=True)
    while True:
        time.sleep(1)
        ticks.inc()


if __name__ == "__main__":
    main()
