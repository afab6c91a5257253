"""The indexes: their rows, the recall of live searches, and what their upkeep takes."""

from collections.abc import Collection, Mapping

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
        self._lag = gauge(
            "quarry_index_lag_rows", "Rows that the index on the disk does not have yet: a start reads them.", "part"
        )
        self._damaged = gauge("quarry_index_damaged", "1 while the collection cannot be opened.")
        self._version = gauge("quarry_index_version", "Changes of the collection so far.")
        self._target = gauge("quarry_index_target_recall", "Recall that the sealed index is to have.")
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
        self._followed: frozenset[str] = frozenset()
        self.failures = Counter("quarry_index_failures", "Steps of upkeep that failed.", registry=registry)

    def follow(self, states: Mapping[str, CollectionState], damaged: Collection[str] = ()) -> None:
        """Set the gauges to these states, by collection; without a pause, so that no scrape sees half of them.

        Args:
            damaged: names of collections that cannot be opened.
        """
        gauges = (self._rows, self._dead_rows, self._bytes, self._version, self._lag, self._damaged, self._target)
        for gauge in (*gauges, self._recall, self._low, self._high, self._compared):
            gauge.clear()
        names = frozenset((*states, *damaged))
        for name in self._followed - names:
            self.damage.remove(name)
        self._followed = names
        for name in names:
            self._damaged.labels(name).set(name in damaged)
            self.damage.labels(name)  # a rate needs the zero before the first
        for name, state in states.items():
            self._follow_rows(name, state)
            self._dead_rows.labels(name).set(state.dead_rows)
            self._bytes.labels(name).set(state.bytes)
            self._version.labels(name).set(state.index_version)
            self._compared.labels(name).set(state.recall.searches)
            if state.recall.recall is not None:
                self._recall.labels(name).set(state.recall.recall)
                self._low.labels(name).set(state.recall.low)
                self._high.labels(name).set(state.recall.high)

    def _follow_rows(self, name: str, state: CollectionState) -> None:
        of_kind = {str(segment["index"]): segment for segment in state.segments}
        for kind in ("flat", "ivf_pq", "milvus"):
            self._rows.labels(name, kind).set(float(str(of_kind[kind]["live_rows"])) if kind in of_kind else 0)
        self._lag.labels(name, "vectors").set(float(str(of_kind["flat"]["rows"])) if "flat" in of_kind else 0)
        self._lag.labels(name, "words").set(state.lexical.newest_rows if state.lexical else 0)
        if "ivf_pq" in of_kind:
            self._target.labels(name).set(float(str(of_kind["ivf_pq"]["target_recall"])))
