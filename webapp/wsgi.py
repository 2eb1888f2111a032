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
facts = site.facts
kinds = {"words": facts.takes_words, "pictures": facts.takes_pictures, "games": facts.takes_games}
app.logger.info(
    f"{len(site)} games of {app.config['CATALOGUE']}, encoder {facts.encoder},"
    f" queries by {', '.join(kind for kind, is_taken in kinds.items() if is_taken) or 'nothing'},"
    f" banners from {app.config['BANNERS'] or (site.cdn if site.cdn_name else 'nowhere')},"
    f" QUERIES_PER_MINUTE={app.config['QUERIES_PER_MINUTE']}"
)
for template in app.jinja_env.list_templates():  # compiled here, once for all workers
    app.jinja_env.get_template(template)
# Objects made so far live on. Frozen, they are not visited by the garbage collector, so workers share their memory.
gc.collect()
gc.freeze()
