"""`python -m webapp` starts gunicorn. That reads WEB_CONCURRENCY before any settings of ours, so it is checked here."""

import os
import sys
from pathlib import Path

from banners import settings
from banners.errors import BadInput

try:
    os.environ["WEB_CONCURRENCY"] = os.environ.get("WEB_CONCURRENCY") or "2"
    settings.whole(os.environ["WEB_CONCURRENCY"], 1, 64, "WEB_CONCURRENCY")
except BadInput as error:
    sys.exit(f"steam-clip: cannot start: {error}")
path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
os.execvpe("gunicorn", ["gunicorn", *sys.argv[1:]], os.environ | {"PATH": path})  # noqa: S606, S607
