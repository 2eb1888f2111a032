"""The WSGI app for gunicorn. A catalogue that cannot be served ends the start with one line instead of a traceback."""

import gc
import logging
import os
import sys

from banners.errors import SteamClipError
from banners.processes import give_freed_memory_back
from webapp.app import create_app, misspelt

give_freed_memory_back()
for name, setting in misspelt(os.environ):
    logging.getLogger("webapp").warning("%s is no setting; is %s meant?", name, setting)
try:
    app = create_app()
except SteamClipError as error:
    sys.stderr.write(f"steam-clip: cannot start: {error}\n")
    sys.exit(1)
site = app.extensions["catalogue"].site
site.warm()
words, pictures = site.facts.takes_words, site.facts.takes_pictures
app.logger.info(
    f"{len(site)} games of {app.config['CATALOGUE']}, encoder {site.facts.encoder},"
    f" queries by {'words and pictures' if words else 'pictures' if pictures else 'nothing'},"
    f" banners from {app.config['BANNERS'] or (site.cdn if site.cdn_name else 'nowhere')},"
    f" QUERIES_PER_MINUTE={app.config['QUERIES_PER_MINUTE']}"
)
for template in app.jinja_env.list_templates():  # compiled here, once for all workers
    app.jinja_env.get_template(template)
# Objects made so far live on. Frozen, they are not visited by the garbage collector, so workers share their memory.
gc.collect()
gc.freeze()
