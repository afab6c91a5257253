"""Plain Locust users that search and ask, each of whom waits for a reply before the next request.

locust -f loadtests/locustfile.py --host http://127.0.0.1:8080 --collection docs

A server that asks for a key is given that of QUARRY_KEY.
"""

import random

from locust import HttpUser, between, events, task
from locust.argument_parser import LocustArgumentParser

QUESTIONS = (
    "What happens to a document that is deleted?",
    "How is a language model configured?",
    "Which errors can be retried?",
    "How large are chunks?",
    "When is a segment sealed?",
)


@events.init_command_line_parser.add_listener
def _add_options(parser: LocustArgumentParser) -> None:
    parser.add_argument("--collection", default="docs", help="Collection to search and ask")
    parser.add_argument("--key", env_var="QUARRY_KEY", default="", is_secret=True, help="Key of the server")


class Reader(HttpUser):
    """Searches five times as often as it asks."""

    wait_time = between(0.05, 0.2)

    def on_start(self) -> None:
        """Show the key, if there is one."""
        key = self.environment.parsed_options.key
        if key:
            self.client.headers["Authorization"] = f"Bearer {key}"

    @task(5)
    def search(self) -> None:
        """POST /v1/search."""
        self._post("/v1/search", {"top_k": 10})

    @task(1)
    def ask(self) -> None:
        """POST /v1/query."""
        self._post("/v1/query", {"top_k": 10})

    def _post(self, path: str, body: dict[str, object]) -> None:
        question = random.choice(QUESTIONS)  # noqa: S311  load, not secrets
        collection = self.environment.parsed_options.collection
        self.client.post(path, json={"query": question, "collection": collection, **body})
