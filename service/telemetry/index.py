"""The indexes: their rows, the recall of live searches, and what their upkeep takes."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from indexes.state import CollectionState
from service.telemetry.buckets import SECONDS


class IndexMetrics:
    """Metrics of all collections, by name."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, ("collection", *labels), registry=registry)

        self._rows = gauge("quarry_index_rows", "Live chunks by index kind.", "index")
        self._dead_rows = gauge("quarry_index_dead_rows", "Rows of deleted chunks that the index still holds.")
        self._bytes = gauge("quarry_index_bytes", "Memory of vectors and index.")
        self._version = gauge("quarry_index_version", "Changes of the collection so far.")
        self._recall = gauge("quarry_index_live_recall", "Recall of a sample of the live searches.")
        self._low = gauge("quarry_index_live_recall_low", "Lower end of its 95 % interval.")
        self._high = gauge("quarry_index_live_recall_high", "Upper end of its 95 % interval.")
        self._compared = gauge("quarry_index_compared_searches", "Searches that the live recall is of.")
        self.seconds = Histogram(
            "quarry_index_seconds", "Time of one step of upkeep.", ("kind",), registry=registry, buckets=SECONDS
        )
        self.damage = Counter(
            "quarry_index_damage",
            "Damage found at a start or by a look at what is stored, whether it could be made good or not.",
            ("collection",),
            registry=registry,
        )
        self.failures = Counter("quarry_index_failures", "Steps of upkeep that failed.", registry=registry)

    def follow(self, states: Mapping[str, CollectionState]) -> None:
        """Set the gauges to these states, by collection; without a pause, so that no scrape sees half of them."""
        gauges = (self._rows, self._dead_rows, self._bytes, self._version)
        for gauge in (*gauges, self._recall, self._low, self._high, self._compared):
            gauge.clear()
        for name, state in states.items():
            for kind in ("flat", "ivf_pq"):
                rows = (int(str(segment["live_rows"])) for segment in state.segments if segment["index"] == kind)
                self._rows.labels(name, kind).set(sum(rows))
            self._dead_rows.labels(name).set(state.dead_rows)
            self._bytes.labels(name).set(state.bytes)
            self._version.labels(name).set(state.index_version)
            self._compared.labels(name).set(state.recall.searches)
            if state.recall.recall is not None:
                self._recall.labels(name).set(state.recall.recall)
                self._low.labels(name).set(state.recall.low)
                self._high.labels(name).set(state.recall.high)
