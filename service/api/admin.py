"""What an operator may ask of a server that runs."""

import asyncio
from datetime import UTC, datetime

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from indexes.backup_manifest import BackupManifest
from indexes.data_directory import BACKUPS
from indexes.errors import BackupConflictError, BackupError
from service.api.access import needs
from service.api.description.failing import fails_with
from service.api.route import NativeRoute
from service.api.schemas.base import examples
from service.api.services import ServicesOf

router = APIRouter(
    route_class=NativeRoute, prefix="/v1/admin", tags=["admin"], dependencies=[needs("admin", is_whole=True)]
)


class BackupBody(BaseModel):
    """Where a backup goes."""

    model_config = ConfigDict(extra="forbid", strict=True) | examples({}, {"skip_damaged": True})

    folder: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
        description="Name of a new folder in the data directory's backups/; the time in UTC by default.",
    )
    skip_damaged: bool = Field(False, description="Leave out collections that cannot be read, and name them.")


class BackupReply(BaseModel):
    """A backup that was made."""

    model_config = examples(
        {
            "folder": "/srv/quarry-data/backups/before-upgrade",
            "bytes": 77_824,
            "manifest": {
                "created_at": "2026-11-23T06:20:17+00:00",
                "program": "0.1.0",
                "schema_version": 2,
                "collections": [],
                "files": {"catalog.db": {"bytes": 77_824, "sha256": "bbdb77d8c9aa8ca9d84354432985e82d91f5ed683807"}},
                "left_out": [],
            },
        }
    )

    folder: str = Field(description="Where it is, on the server.")
    bytes: int = Field(description="Size of its files.")
    manifest: BackupManifest


@router.post(
    "/backup",
    openapi_extra=fails_with(BackupConflictError, BackupError),
)
async def make_backup(services: ServicesOf, body: BackupBody | None = None) -> BackupReply:
    """Copy every collection as of one moment.

    Reads and writes go on. A folder that has something in it is a 409.
    """
    body = body or BackupBody()
    name = body.folder or f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    folder = (services.settings.data_dir / BACKUPS / name).absolute()
    manifest = await asyncio.to_thread(services.writing.library.back_up, folder, skip_damaged=body.skip_damaged)
    return BackupReply(folder=str(folder), bytes=manifest.bytes, manifest=manifest)
