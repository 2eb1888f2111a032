"""`python -m webapp` starts gunicorn, which reads gunicorn.conf.py.

It reads WEB_CONCURRENCY before any settings of ours, and ends with a traceback where that is no number.
"""

import os
import sys

from banners import settings
from banners.errors import BadInput

try:
    settings.whole(os.environ.get("WEB_CONCURRENCY") or "1", 1, 64, "WEB_CONCURRENCY")
except BadInput as error:
    sys.exit(f"steam-clip: cannot start: {error}")
if not os.environ.get("WEB_CONCURRENCY"):
    os.environ.pop("WEB_CONCURRENCY", None)
os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *sys.argv[1:]])  # noqa: S606
