"""What the process that makes the load is told, and what it reports."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Job:
    """One block of load on one server.

    Attributes:
        words: fewest and most words of a text.
        first_text: number of the first text; the block uses consecutive ones.
        ramp_s: how long the load runs before the clock starts.
        seconds: how long the clock runs.
        kept: vectors of the first texts to return.
    """

    port: int
    path: str
    model: str
    encoding: str
    concurrency: int
    texts_per_request: int
    words: tuple[int, int]
    first_text: int
    ramp_s: float
    seconds: float
    dimension: int
    kept: int
    seed: int
    texts_file: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a job.

    Attributes:
        requests_per_s: completed while the clock ran; one that straddles an end of that time counts by its part inside.
        latencies_ms: of the requests completed while the clock ran.
        cpu_s: processor time of this client, while the load ran.
        texts: how many were sent, ramp included.
        vectors: of the first texts, base64 of float32 (kept, dimension).
        error: why there is no result; the rest is then meaningless.
    """

    requests_per_s: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    texts: int = 0
    vectors: str = ""
    error: str = ""
