"""What the server's process takes: memory, descriptors, processor time and threads."""

import psutil
from prometheus_client import CollectorRegistry, Gauge, ProcessCollector


class ProcessMetrics:
    """Read whenever somebody looks: `process_` as all of Prometheus' clients name it, and the threads beside it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        ProcessCollector(registry=registry)
        threads = Gauge("quarry_threads", "Threads of the process, those of libraries too.", registry=registry)
        threads.set_function(psutil.Process().num_threads)
