"""`quarry up` with other durations and another `quarry serve`. Usage: driver.py CONFIG SERVE FOLDER DURATIONS"""

import json
import sys
from pathlib import Path

from service.settings import load_settings
from service.telemetry.logs import configure_logging
from service.up.durations import Durations
from service.up.errors import UpError
from service.up.parent import run_parent

_, config, serve, folder, durations = sys.argv
configure_logging("info")
try:
    run_parent(load_settings(Path(config)), [sys.executable, serve, folder], Durations(**json.loads(durations)))
except UpError as error:
    sys.exit(f"UpError: {error}")
