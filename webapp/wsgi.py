"""What gunicorn loads. A catalogue that cannot be served ends the start with one line instead of a traceback."""

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
# What is there now stays: the collector need not look at it again, nor write to memory that the workers share.
gc.collect()
gc.freeze()
