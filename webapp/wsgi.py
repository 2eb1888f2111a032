"""The WSGI app for gunicorn. A catalogue that cannot be served ends the start with one line instead of a traceback."""

import gc
import sys

from banners.errors import SteamClipError
from banners.processes import give_freed_memory_back
from webapp.app import create_app

give_freed_memory_back()
try:
    app = create_app()
except SteamClipError as error:
    sys.stderr.write(f"steam-clip: cannot start: {error}\n")
    sys.exit(1)
app.extensions["catalogue"].served.warm()
for template in app.jinja_env.list_templates():  # compiled here, once for all workers
    app.jinja_env.get_template(template)
# Objects made so far live on. Frozen, they are not visited by the garbage collector, so workers share their memory.
gc.collect()
gc.freeze()
