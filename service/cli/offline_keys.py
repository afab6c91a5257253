"""The keys of a data directory that no server is using."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from indexes.data_directory import owned
from indexes.durable import make_folder
from indexes.errors import DataDirectoryError, DataDirectoryInUseError
from service.access.keys import Keys
from service.api.schemas.keys import KeyBody, KeyList, KeyReply, MadeKey
from service.cli.configuration import told
from service.cli.console import err, fail
from service.errors import QuarryError


class OfflineKeys:
    """Does itself what a server would be asked for, and says it in the same shapes.

    What nobody can undo over the API may be done here, as it can be undone here; it is said.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """As POST /v1/admin/keys."""
        try:
            wanted = KeyBody.model_validate(body).wanted()
        except ValidationError as error:
            fail(told(error))
        reply = MadeKey.shown(*self._keys.create(wanted)).model_dump(mode="json")
        self._tell_of_no_admin()
        return reply

    def listed(self) -> dict[str, Any]:
        """As GET /v1/admin/keys."""
        return KeyList.of(self._keys.listed()).model_dump(mode="json")

    def revoke(self, key_id: str) -> dict[str, Any]:
        """As DELETE /v1/admin/keys/{id}."""
        reply = KeyReply.of(self._keys.revoke(key_id)).model_dump(mode="json")
        self._tell_of_no_admin()
        return reply

    def _tell_of_no_admin(self) -> None:
        if not self._keys.are_administered:
            err.print(
                "no key has the scope admin and the whole node: unless access.admin_key is set, keys are made and "
                "revoked only here, while no server runs",
                style="yellow",
                markup=False,
            )


@contextmanager
def opened(data_dir: Path, *, may_be_new: bool) -> Iterator[OfflineKeys]:
    """The keys of a directory, under its lock; what goes wrong inside is said, and ends the command.

    Args:
        may_be_new: one that is not there is made.
    """
    try:
        if may_be_new:
            make_folder(data_dir)
        elif not data_dir.is_dir():
            fail(f"{data_dir} is no directory")
        with owned(data_dir):
            yield OfflineKeys(Keys(data_dir))
    except DataDirectoryInUseError as error:
        fail(f"{error}; the keys of a server that is running are changed with --url, by a key of scope admin")
    except (DataDirectoryError, QuarryError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{data_dir} cannot be made: {error.strerror}")
