"""Upkeep of one collection's index: seal, extend, rebuild, save, and watch its recall. One step at a time."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from indexes.curve import RecallCurve
from indexes.errors import NothingSealedError
from indexes.generation import read_store
from indexes.ivf_pq import MIN_ROWS, IvfPqIndex
from indexes.ivf_pq_params import code_bytes
from indexes.live_view import LiveView
from indexes.memory import available_bytes, require_memory
from indexes.placement import IndexMemory, Place, Placement
from indexes.retraining import IndexHealth, rebuild_reason
from indexes.retuning import dearer
from indexes.rows import Rows
from indexes.saved_index import packed
from indexes.sealed_device import SealedDevice
from indexes.shadow import ShadowSearches
from indexes.snapshot import Snapshots
from indexes.spec import CollectionSpec
from indexes.store import Store
from indexes.stored_damage import StoredDamage
from indexes.tuning import calibrated, train_for
from indexes.view import Sealed, View
from indexes.work import Progress, Work

# Below so many rows an exact scan costs less than a search of any index on any device: nothing is measured yet.
LEAST_CROSSOVER = 8_192
# A row's columns beside its vector, and the bytes of a component.
_ROW_BYTES, _COMPONENT_BYTES = 36, 4
# Of a compressed row beside its code: its id, its share of the centroids, and the copy that makes lists tight.
_CODE_ROW_BYTES = 100
# After a failure, before the same is tried again: a full disk does not get emptier by being written to.
_PAUSE_S = 30.0
# A curve is measured by looking for ten neighbours of each row it asks with.
_LEAST_CALIBRATED = 11
# Rows, relative to those it was trained on, from where another index is worth trying against a recall that is missed.
_WORTH_TRAINING = 1.2


@dataclass(frozen=True, slots=True)
class IndexPolicy:
    """When rows are sealed, and how much of the load goes into watching them.

    Attributes:
        seal_rows: size of the tail at which it is sealed; None takes the measured crossover of exact and IVF-PQ.
        shadow_share: of the live searches that are made again exactly, 0..1.
        crossover: measures for a dimension; called at most once, on the thread that seals.
        device: where sealed rows are searched, for the status.
        place: puts an index there; None leaves it on the CPU.
        memory_there: what the indexes on that device take.
    """

    seal_rows: int | None = None
    shadow_share: float = 0.01
    crossover: Callable[[int], int] = lambda _: LEAST_CROSSOVER
    device: str = "cpu"
    place: Place | None = None
    memory_there: Callable[[], IndexMemory] = IndexMemory


class Upkeep:
    """Every method that changes something may run on one thread at a time, and any thread; searches go on.

    Args:
        damage: why a snapshot was not taken, or not the newest; the next one heals it.
    """

    def __init__(
        self,
        spec: CollectionSpec,
        store: Store,
        live: LiveView,
        snapshots: Snapshots,
        policy: IndexPolicy,
        damage: Sequence[str],
    ) -> None:
        self._spec = spec
        self._store = store
        self._live = live
        self._snapshots = snapshots
        self._policy = policy
        self._working = threading.Lock()
        self._saved: Sealed | None = None if damage else live.now.sealed
        self._damage: Sequence[str] = damage
        self._crossover: int | None = policy.seal_rows
        self._newer_residual: float | None = None
        self._stored = StoredDamage(store, is_unknown=live.now.rows.live > 0)
        self._device = SealedDevice(policy.device, policy.place)
        self._failure: str | None = None
        self._not_before = 0.0
        self.working_on: Work | None = None
        self.shadow = ShadowSearches(policy.shadow_share)

    @property
    def seal_rows(self) -> int:
        """Size of the tail at which it is sealed, as far as it is known."""
        return self._crossover or LEAST_CROSSOVER

    @property
    def placement(self) -> Placement:
        """Where the sealed rows are searched, and why there."""
        return self._device.placement(self._live.now.sealed)

    @property
    def is_due(self) -> bool:
        """A step has something to do."""
        return bool(self.shadow.waiting) or (not self._is_pausing and self._wants(self._live.now))

    @property
    def _is_pausing(self) -> bool:
        return time.monotonic() < self._not_before

    def _wants(self, view: View) -> bool:
        return (
            self._device.lacks(view.sealed)
            or self._tail_is_full(view)
            or self._is_unsaved(view)
            or self._stored.is_unknown
            or self._reason(view) is not None
        )

    @property
    def trouble(self) -> list[str]:
        """Why something that is due is not done, and what was found damaged and is not yet written anew."""
        is_undone = self._failure is not None and self._wants(self._live.now)
        stored = self._stored.said(self._live.now.rows)
        return [*stored, *self._damage, *([self._failure] if self._failure and is_undone else [])]

    def step(self) -> str | None:
        """Do the one thing that is due most, and say which.

        Returns:
            placed, sealed, rebuilt, retuned, saved or checked; None when nothing is due.

        For a while after a failure searches are compared and retuned, and nothing else is tried.

        Raises:
            InsufficientMemoryError: two indexes would not fit side by side; the old one stays.
            StoreUnavailableError, SnapshotError: the disk failed; the index in memory stays as it was.
        """
        with self._working:
            try:
                self.shadow.compare()
                if self._retuned(self._live.now):
                    return "retuned"
                if self._is_pausing:
                    return None
                done = self._step(self._live.now)
            except Exception as error:  # of whatever kind, it would be met again at once; the caller hears of it
                self._failure = str(error) or type(error).__name__
                self._not_before = time.monotonic() + _PAUSE_S
                raise
            self._failure = None
            return done

    def _step(self, view: View) -> str | None:
        if view.sealed is not None and self._device.lacks(view.sealed) and self._place(view, view.sealed):
            return "placed"
        reason = self._reason(view)
        if reason is not None:
            self._rebuild(reason)
            return "rebuilt"
        if self._tail_is_full(view) and self._measured(view):
            self._seal(view)
            return "sealed"
        if self._is_unsaved(view):
            self._save()
            return "saved"
        if self._stored.is_unknown:
            self._stored.look()
            return "checked"
        return None

    def rebuild(self, reason: str = "asked for") -> None:
        """Read the store again and build everything anew.

        Raises:
            InsufficientMemoryError, StoreUnavailableError: what is there stays.
        """
        with self._working:
            self._rebuild(reason)

    def calibrate(self) -> RecallCurve:
        """Measure the curve of the sealed index again, on the rows that are live now, and search by what it chooses.

        The index stays. Some of the rows it is asked for it may have been trained on, if it was extended since.

        Raises:
            NothingSealedError: every search is exact, or all but.
            SnapshotError: the choice cannot be saved; it holds until the next start.
        """
        with self._working:
            view = self._live.now
            sealed = view.sealed
            live = view.rows.visible(view.sealed_rows, view.version).mask(0, view.sealed_rows)
            if sealed is None or live.sum() < _LEAST_CALIBRATED:
                raise NothingSealedError(int(live.sum()), _LEAST_CALIBRATED)
            with self._announced("calibrating"):
                vectors, target = view.rows.vectors(view.sealed_rows), self._spec.target_recall
                index, curve = calibrated(sealed.index, vectors, target, live)
            self._live.seal(replace(sealed, index=index, curve=curve))
            self.shadow.clear()
            self._save()
        return curve

    def purge(self) -> None:
        """Build everything anew, so that no row that died is left in memory, and replace every snapshot.

        Raises:
            InsufficientMemoryError, StoreUnavailableError: what is there stays.
            SnapshotError: an older snapshot may still have the codes of rows that died.
        """
        with self._working:
            self._rebuild("purge")
            self._save()
            self._snapshots.remove_older()

    def save(self) -> None:
        """Write a snapshot of the sealed index, if there is one.

        Raises:
            SnapshotError: the older ones stay.
        """
        with self._working:
            self._save()

    def _is_unsaved(self, view: View) -> bool:
        return view.sealed is not self._saved or bool(self._damage)

    def _tail_is_full(self, view: View) -> bool:
        return view.tail_rows >= max(self.seal_rows, MIN_ROWS)

    def _measured(self, view: View) -> bool:
        """The tail is full by the measured crossover too, which is measured when it is first of interest."""
        if self._crossover is None:
            self._crossover = self._policy.crossover(self._spec.dimension)
        return self._tail_is_full(view)

    def _seal(self, view: View) -> None:
        """The tail joins the index: by its codes where there is one, else by training the first."""
        size, sealed = view.rows.size, view.sealed
        if sealed is None:
            with self._announced(f"sealing {size} rows"):
                self._live.seal(self._device.placed(self._trained(view.rows), view.rows))
            return
        new = view.rows.vectors(size)[sealed.index.size :]
        wanted = int(size * sealed.index.bytes_per_vector)
        require_memory(wanted, f"an index over {size} rows", available_bytes())
        self._newer_residual = sealed.index.residual_of(new)
        self._live.seal(self._device.placed(replace(sealed, index=sealed.index.extended(new)), view.rows))

    def _trained(self, rows: Rows) -> Sealed:
        wanted = int(rows.size * (code_bytes(rows.dimension) + _CODE_ROW_BYTES))
        require_memory(wanted, f"an index over {rows.size} rows", available_bytes())
        index, curve = train_for(rows.vectors(), rows.metric, self._spec.target_recall)
        self._newer_residual = None
        return Sealed(index, curve)

    def _place(self, view: View, sealed: Sealed) -> bool:
        """On the device, unless it refuses; the rows are searched on the CPU until they are there."""
        placed = self._device.placed_alone(sealed, view.rows)
        if placed is None:
            return False
        if self._saved is sealed:  # what is on the disk is the same
            self._saved = placed
        self._live.seal(placed)
        return True

    def _rebuild(self, reason: str) -> None:
        rows = self._live.now.rows
        wanted = rows.live * (self._spec.dimension * (_COMPONENT_BYTES + 1) + _ROW_BYTES)
        require_memory(wanted, f"a rebuild of {rows.live} rows", available_bytes())
        with self._announced(f"rebuilding: {reason}") as progress, self._live.recording():
            generation = read_store(self._store, self._spec, progress=progress, held=rows)
            self._stored.note(generation.damaged)
            full = generation.rows.size >= max(self.seal_rows, MIN_ROWS)
            sealed = self._device.placed(self._trained(generation.rows), generation.rows) if full else None
            self._live.replace(generation.rows, generation.attributes, sealed, generation.read_at)
        self.shadow.clear()  # what waits was answered by the index before, and keeps it in memory

    @contextmanager
    def _announced(self, what: str) -> Iterator[Progress]:
        """While it goes on, the status says so; yields what tells it how far it is."""
        self.working_on = Work(what)

        def progress(done: int, total: int) -> None:
            self.working_on = Work(what, done, total)

        try:
            yield progress
        finally:
            self.working_on = None

    def _save(self) -> None:
        view = self._live.now
        if view.sealed is None:
            self._snapshots.remove_all()
        else:
            self._snapshots.write(*packed(view, view.sealed))
            if self._damage:
                self._snapshots.remove_older()  # the damaged one is newer than a good one, so it is what was kept
        self._saved = view.sealed
        self._damage = ()

    def _reason(self, view: View) -> str | None:
        """Why everything should be built anew; None while nothing says so."""
        rows, sealed = view.rows, view.sealed
        if self._live.is_behind:
            return "a commit could not be followed in memory"
        if sealed is None:
            # Nothing is searched by its codes, but rows that died would be scanned for ever.
            return f"{rows.dead} rows of the tail are dead" if rows.dead > max(rows.live, self.seal_rows) else None
        index, facts = sealed.index, sealed.index.facts
        health = IndexHealth(
            rows=max(rows.size, self.seal_rows),
            trained_rows=max(facts.trained_rows, self.seal_rows),
            dead_rows=rows.dead,
            imbalance=index.imbalance,
            trained_imbalance=facts.trained_imbalance,
            residual=self._newer_residual,
            trained_residual=facts.residual,
            recall=self._hopeless_recall(index, rows),
            target_recall=self._spec.target_recall,
        )
        return rebuild_reason(health)

    def _hopeless_recall(self, index: IvfPqIndex, rows: Rows) -> float | None:
        """What live searches get at most, where nothing but training on more rows is left to raise it."""
        live = self.shadow.estimate
        is_missed = live.misses(self._spec.target_recall) and dearer(index.params) is None
        return live.high if is_missed and rows.live > _WORTH_TRAINING * index.trained_rows else None

    def _retuned(self, view: View) -> bool:
        """Searches that miss the target get a dearer setting."""
        sealed = view.sealed
        if sealed is None or not self.shadow.estimate.misses(self._spec.target_recall):
            return False
        setting = dearer(sealed.index.params)
        if setting is None:
            return False
        self._live.seal(replace(sealed, index=sealed.index.tuned(*setting)))
        self.shadow.clear()
        return True
