"""Upkeep of one collection's index: seal, extend, rebuild, save, and watch its recall. One step at a time."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from indexes.errors import IndexesError
from indexes.generation import read_store
from indexes.ivf_pq import MIN_ROWS
from indexes.live_view import LiveView
from indexes.memory import available_bytes, require_memory
from indexes.placement import ON_THE_HOST, Place, Placement
from indexes.retraining import IndexHealth, rebuild_reason
from indexes.rows import Rows
from indexes.saved_index import packed
from indexes.shadow import ShadowSearches
from indexes.snapshot import Snapshots
from indexes.spec import CollectionSpec
from indexes.store import Store
from indexes.tuning import train_for
from indexes.view import Sealed, View

# Below so many rows an exact scan costs less than a search of any index on any device: nothing is measured yet.
LEAST_CROSSOVER = 8_192
# A row's columns beside its vector, and the bytes of a component.
_ROW_BYTES, _COMPONENT_BYTES = 36, 4
# After a failure, before the same is tried again: a full disk does not get emptier by being written to.
_PAUSE_S = 30.0
# Searches that must have been compared before the live recall says anything.
_LEAST_COMPARED = 100


@dataclass(frozen=True, slots=True)
class IndexPolicy:
    """When rows are sealed, and how much of the load goes into watching them.

    Attributes:
        seal_rows: size of the tail at which it is sealed; None takes the measured crossover of exact and IVF-PQ.
        shadow_share: of the live searches that are made again exactly, 0..1.
        crossover: measures for a dimension; called at most once, on the thread that seals.
        device: where sealed rows are searched, for the status.
        place: puts an index there; None leaves it on the CPU.
    """

    seal_rows: int | None = None
    shadow_share: float = 0.01
    crossover: Callable[[int], int] = lambda _: LEAST_CROSSOVER
    device: str = "cpu"
    place: Place | None = None


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
        self._refused: tuple[Sealed | None, str] = (None, "")  # what could not be put on the device, and why
        self._failure: str | None = None
        self._not_before = 0.0
        self.working_on: str | None = None
        self.shadow = ShadowSearches(policy.shadow_share)

    @property
    def seal_rows(self) -> int:
        """Size of the tail at which it is sealed, as far as it is known."""
        return self._crossover or LEAST_CROSSOVER

    @property
    def placement(self) -> Placement:
        """Where the sealed rows are searched, and why there."""
        sealed = self._live.now.sealed
        if sealed is not None and sealed.on_device is not None:
            return sealed.on_device.placement
        if self._policy.place is None:
            return ON_THE_HOST
        refused, reason = self._refused
        why = f"not on {self._policy.device}: {reason}" if refused is sealed else "waits for its turn to be placed"
        return replace(ON_THE_HOST, why=why)

    @property
    def is_due(self) -> bool:
        """A step has something to do."""
        view = self._live.now
        return bool(self.shadow.waiting) or (
            time.monotonic() >= self._not_before
            and (
                self._is_unplaced(view)
                or self._tail_is_full(view)
                or self._is_unsaved(view)
                or bool(self._reason(view))
            )
        )

    @property
    def trouble(self) -> list[str]:
        """Why something that is due is not done, and what was found damaged and is not yet written anew."""
        return [*self._damage, *([self._failure] if self._failure else [])]

    def step(self) -> str | None:
        """Do the one thing that is due most, and say which.

        Returns:
            placed, sealed, rebuilt, retuned or saved; None when nothing is due.

        Raises:
            InsufficientMemoryError: two indexes would not fit side by side; the old one stays.
            StoreUnavailableError, SnapshotError: the disk failed; the index in memory stays as it was.
        """
        with self._working:
            try:
                done = self._step()
            except (IndexesError, MemoryError, RuntimeError) as error:  # RuntimeError is FAISS's
                self._failure = str(error)
                self._not_before = time.monotonic() + _PAUSE_S
                raise
            self._failure = None
            return done

    def _step(self) -> str | None:
        self.shadow.compare()
        view = self._live.now
        if view.sealed is not None and self._is_unplaced(view) and self._place_alone(view, view.sealed):
            return "placed"
        if self._retuned(view):
            return "retuned"
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
        return None

    def rebuild(self, reason: str = "asked for") -> None:
        """Read the store again and build everything anew.

        Raises:
            InsufficientMemoryError, StoreUnavailableError: what is there stays.
        """
        with self._working:
            self._rebuild(reason)

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
            self._live.seal(self._placed(self._trained(view.rows), view.rows))
            return
        new = view.rows.vectors(size)[sealed.index.size :]
        wanted = int(size * sealed.index.bytes_per_vector)
        require_memory(wanted, f"an index over {size} rows", available_bytes())
        self._newer_residual = sealed.index.residual_of(new)
        self._live.seal(self._placed(replace(sealed, index=sealed.index.extended(new)), view.rows))

    def _trained(self, rows: Rows) -> Sealed:
        index, curve = train_for(rows.vectors(), rows.metric, self._spec.target_recall)
        self.shadow.clear()
        self._newer_residual = None
        return Sealed(index, curve)

    def _is_unplaced(self, view: View) -> bool:
        """The sealed rows could be searched on the device and are not; what it refused waits for the next index."""
        sealed = view.sealed
        wanted = self._policy.place is not None and sealed is not None and sealed.on_device is None
        return wanted and self._refused[0] is not sealed

    def _placed(self, sealed: Sealed, rows: Rows) -> Sealed:
        """On the device beside what is there now; where both do not fit, ``step`` tries again when that is gone."""
        if self._policy.place is None:
            return sealed
        try:
            return replace(sealed, on_device=self._policy.place(sealed.index, rows, sealed.on_device))
        except IndexesError:
            return replace(sealed, on_device=None)

    def _place_alone(self, view: View, sealed: Sealed) -> bool:
        """On the device, or a note why not; the rows are searched on the CPU until they are there."""
        if self._policy.place is None:
            return False
        try:
            placed = replace(sealed, on_device=self._policy.place(sealed.index, view.rows, None))
        except IndexesError as error:
            self._refused = sealed, str(error)
            return False
        if self._saved is sealed:  # what is on the disk is the same
            self._saved = placed
        self._live.seal(placed)
        return True

    def _rebuild(self, reason: str) -> None:
        rows = self._live.now.rows
        wanted = rows.live * (self._spec.dimension * (_COMPONENT_BYTES + 1) + _ROW_BYTES)
        require_memory(wanted, f"a rebuild of {rows.live} rows", available_bytes())
        self.working_on = f"rebuilding: {reason}"
        try:
            with self._live.recording():
                generation = read_store(self._store, self._spec)
                full = generation.rows.size >= max(self.seal_rows, MIN_ROWS)
                sealed = self._placed(self._trained(generation.rows), generation.rows) if full else None
                self._live.replace(generation.rows, generation.attributes, sealed)
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
            recall=None,  # a dearer setting comes first: see _retuned
            target_recall=self._spec.target_recall,
        )
        return rebuild_reason(health)

    def _retuned(self, view: View) -> bool:
        """Searches that miss the target visit twice as many lists: questions do not lie among documents as rows do."""
        sealed, live = view.sealed, self.shadow.estimate
        if sealed is None or live.searches < _LEAST_COMPARED or live.high >= self._spec.target_recall:
            return False
        params = sealed.index.params
        if params.nprobe >= params.nlist:
            return False
        self._live.seal(replace(sealed, index=sealed.index.tuned(min(2 * params.nprobe, params.nlist), params.refine)))
        self.shadow.clear()
        return True
