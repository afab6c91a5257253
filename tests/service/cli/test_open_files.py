"""The limit on open files, in a process of its own."""

import resource
import subprocess
import sys

_RAISED = """
import resource
from service.cli.open_files import raise_open_files
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
raise_open_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_all_that_is_granted_is_taken() -> None:
    done = subprocess.run([sys.executable, "-c", _RAISED], capture_output=True, text=True, timeout=200, check=True)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert done.stdout.split() == [str(hard), str(hard)]
