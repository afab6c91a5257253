"""The server that has the data directory now, as far as it tells."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from indexes.data_directory import is_owned
from models.base import EmbedderInfo
from service.doctor.check import Finding, failure, ok, warning

_ASK_S = 5.0
_REFUSALS = {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}


@dataclass(frozen=True, slots=True)
class RunningServer:
    """Of one data directory.

    Attributes:
        holds_the_lock: some process has the directory.
        url: where it was asked.
        status: what /v1/status says; None where nobody has the directory, or nobody answers there.
        silence: why there is none.
        is_refusing: it answers, but not to whoever shows no key, or this one.
    """

    holds_the_lock: bool
    url: str
    status: dict[str, Any] | None = None
    silence: str = ""
    is_refusing: bool = False

    @classmethod
    def looked_for(cls, data_dir: Path, url: str, key: str | None = None) -> "RunningServer":
        """Try the lock, and where it is held, ask at ``url``."""
        if not is_owned(data_dir):
            return cls(False, url)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            with httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=_ASK_S, trust_env=False) as client:
                response = client.get("/v1/status")
                if response.status_code in _REFUSALS:
                    return cls(True, url, silence=f"{response.status_code} {response.reason_phrase}", is_refusing=True)
                reply = response.raise_for_status().json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            return cls(True, url, silence=f"{type(error).__name__}: {error}")
        return cls(True, url, reply if isinstance(reply, dict) else None, "its reply is no object")

    def embedders(self) -> list[EmbedderInfo] | None:
        """Those that it has loaded; None where it does not tell."""
        try:
            return [EmbedderInfo(**info) for info in self.status["embedders"]] if self.status else None
        except (KeyError, TypeError):
            return None

    def findings(self) -> Iterator[Finding]:
        """Whether one runs, and what ails it."""
        if not self.holds_the_lock:
            yield ok("server", "no process has the data directory")
        elif self.is_refusing:
            found = f"one runs at {self.url} that does not tell how it is ({self.silence})"
            yield warning("server", found, "give a key of scope admin and the whole node in QUARRY_KEY")
        elif self.status is None:
            found = f"a process has the data directory, but none answers at {self.url} ({self.silence})"
            yield warning("server", found, "give its address with --url, so that it can be asked what it knows")
        else:
            yield from self._ailments(self.status)

    def _ailments(self, status: dict[str, Any]) -> Iterator[Finding]:
        trouble = (status.get("engine") or {}).get("trouble")
        degraded = status.get("degraded") or []
        if trouble:
            yield failure("server", f"it runs at {self.url}, and its device is in trouble: {trouble}", "start it again")
        elif degraded:
            said = ", ".join(map(str, degraded))
            yield warning("server", f"it runs at {self.url}, degraded: {said}", "see what its /v1/status says of these")
        else:
            yield ok("server", f"version {status.get('version')} runs at {self.url}")
        for name, state in (status.get("collections") or {}).items():
            troubles = [state["unavailable"]] if "unavailable" in state else state.get("trouble", [])
            for each in troubles:
                yield failure(f"collection {name}", str(each), f"quarry index verify {name}")
