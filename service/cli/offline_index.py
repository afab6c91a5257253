"""The index of a collection in a data directory that no server is using."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from indexes.catalog import Catalog
from indexes.crossover import measure_crossover
from indexes.data_directory import CATALOG
from indexes.errors import DataDirectoryInUseError, IndexesError
from indexes.filters import parse_filter
from indexes.upkeep import IndexPolicy
from service.api.collections import described
from service.api.schemas.index import CalibrateReply, PurgeReply, VerifyReply
from service.cli.console import err, fail
from service.errors import ExtraMissingError
from service.index_settings import IndexSettings
from service.ingest.jobs.job_purge import OfflineJobPurge
from service.ingest.jobs.store import FOLDER, open_or_set_aside
from service.ingest.mirror import Mirror
from service.ingest.purger import Purger
from service.milvus_server import milvus_server
from service.preferred import Preferred
from service.reembedding import ReembeddingState


class OfflineIndex:
    """Does itself what a server would be asked for, and says it in the same shapes; no model is loaded."""

    def __init__(self, catalog: Catalog, name: str) -> None:
        self._catalog = catalog
        self._name = name
        self._collection = catalog.get(name)

    def stats(self) -> dict[str, Any]:
        """As GET /v1/collections/{c}."""
        route = self._catalog.route(self._name)
        link, target = route.reembedding, route.target
        spec = target.spec if target else None
        reembedding = ReembeddingState(link.state, spec, 0, 0, link.damage or None) if link else None
        preferred = Preferred.of(self._catalog, self._name)
        return described(route, self._collection.describe(), reembedding, preferred).model_dump()

    def rebuild(self) -> dict[str, Any]:
        """As POST :rebuild."""
        with self._telling_of_unsealed():
            self._collection.rebuild()
        return self.stats()

    def verify(self) -> dict[str, Any]:
        """As POST :verify."""
        return VerifyReply.of(self._collection.verify()).model_dump()

    def calibrate(self) -> dict[str, Any]:
        """As POST :calibrate."""
        return CalibrateReply.of(self._collection.upkeep.calibrate()).model_dump()

    def purge(self, ids: list[str], filters: dict[str, Any] | None) -> dict[str, Any]:
        """As POST :purge."""
        filter_ = None if filters is None else parse_filter(filters)
        with self._telling_of_unsealed():
            store, waiting, trouble = open_or_set_aside(self._catalog.data_dir / FOLDER)
            if trouble:
                err.print(f"jobs: {trouble}", style="yellow", markup=False)
            with closing(store):
                purger = Purger(Mirror(self._catalog), OfflineJobPurge(store, waiting))
                return PurgeReply.of(purger.purge(self._name, ids, filter_)).model_dump()

    @contextmanager
    def _telling_of_unsealed(self) -> Iterator[None]:
        """A new index follows the settings given here, which may not be those that the server seals by."""
        was_sealed = len(self._collection.describe().segments) > 1
        yield
        state = self._collection.describe()
        if was_sealed and len(state.segments) == 1:
            err.print(
                f"{self._name}: IVF-PQ no longer covers any row: {state.chunks} chunks are fewer than the "
                f"{state.seal_rows} from where on these settings seal (index.seal_rows). Searches are exact until a "
                "server seals them; give the server's --config to keep to its settings.",
                style="yellow",
                markup=False,
            )

    def working_on(self) -> dict[str, Any] | None:
        """What is being done now, and how far it is."""
        work = self._collection.working_on
        return asdict(work) if work else None


@contextmanager
def opened(data_dir: Path, name: str, settings: IndexSettings) -> Iterator[OfflineIndex]:
    """The index of a collection, under the directory's lock; what goes wrong inside is said, and ends the command."""
    if not (data_dir / CATALOG).is_file():
        fail(f"{data_dir} has no data")
    try:
        policy = IndexPolicy(settings.seal_rows, shadow_share=0.0, crossover=measure_crossover)
        catalog = Catalog(data_dir, policy, milvus=milvus_server(settings.milvus))
    except DataDirectoryInUseError as error:
        fail(f"{error}; a server that is running is asked with --url")
    except (IndexesError, ExtraMissingError) as error:
        fail(str(error))
    try:
        yield OfflineIndex(catalog, name)
    except IndexesError as error:
        fail(str(error))
    finally:
        catalog.close()
