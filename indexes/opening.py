"""The view that a collection begins with."""

from indexes.errors import SnapshotError, UnknownRowError
from indexes.generation import read_store
from indexes.saved_index import unpacked
from indexes.snapshot import Snapshots
from indexes.spec import CollectionSpec
from indexes.store import Store
from indexes.view import View


def opened_view(spec: CollectionSpec, store: Store, snapshots: Snapshots) -> tuple[View, list[str]]:
    """The newest good snapshot with what was written since; else every row in the tail, and what was wrong."""
    damage: list[str] = []
    loaded = snapshots.load(damage.append)
    version = store.version()
    if loaded is not None:
        try:
            saved = unpacked(loaded, spec)
            if saved.version > version:  # row ids that it knows may have been given to other chunks since
                raise SnapshotError(f"snapshot {loaded.name} is of version {saved.version}, the store of {version}")
            generation = read_store(store, spec, saved.ids)
            return View(generation.rows, generation.attributes, saved.sealed, version), damage
        except (SnapshotError, UnknownRowError) as error:
            snapshots.distrust(loaded.name)
            damage.append(str(error))
    generation = read_store(store, spec)
    return View(generation.rows, generation.attributes, None, version), damage
