"""/metrics on a port of its own."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx

ADMIN = "a-key-of-an-operator-with-40-characters!"
ENDS_WITHIN_S = 200.0


def test_it_has_the_metrics_alone_and_ends_with_the_server(
    spawn: Callable[..., tuple["subprocess.Popen[bytes]", Path]],
    address: Callable[[Path, "subprocess.Popen[bytes]"], str],
    tmp_path: Path,
) -> None:
    process, log = spawn(tmp_path / "data", QUARRY_SERVER__METRICS_PORT="0", QUARRY_ACCESS__ADMIN_KEY=ADMIN)
    api = address(log, process)
    messages = [json.loads(line)["message"] for line in log.read_text().splitlines() if line.startswith("{")]
    (metrics,) = [message.removeprefix("metrics on ") for message in messages if message.startswith("metrics on ")]
    assert metrics.startswith("http://127.0.0.1:")
    assert metrics.endswith("/metrics")
    with httpx.Client(trust_env=False, timeout=ENDS_WITHIN_S) as anybody:
        assert anybody.get(metrics).status_code == 401
        anybody.headers["Authorization"] = f"Bearer {ADMIN}"
        assert anybody.get(f"{api}/v1/collections").is_success
        scrape = anybody.get(metrics)
        assert 'quarry_requests_total{method="GET",route="/v1/collections",status="200"} 1.0' in scrape.text
        assert anybody.get(f"{api}/metrics").status_code == 404
        assert "/metrics" not in anybody.get(f"{api}/openapi.json").json()["paths"]
        for path in ("/v1/collections", "/healthz", "/docs", "/openapi.json"):
            assert anybody.get(metrics.replace("/metrics", path)).status_code == 404
        process.send_signal(signal.SIGTERM)  # with a connection of a scrape still open
        assert process.wait(ENDS_WITHIN_S) == 0
    assert "Traceback" not in log.read_text()
