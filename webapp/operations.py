"""Routes for whoever runs the server."""

import platform

from flask import Blueprint, Response, current_app, jsonify

from banners.catalogue.manifest import FORMAT_VERSION
from webapp.current import catalogue

operations = Blueprint("operations", __name__)

# Every game has its page; the same banners under other addresses, and searches, are not worth a crawler's time.
ROBOTS = """User-agent: *
Disallow: /render_x
Disallow: /render_y
Disallow: /store
Disallow: /search
Disallow: /suggest
Disallow: /mix
Disallow: /render/$
Disallow: /render/*/*
Disallow: /metrics
"""


@operations.get("/healthz")
def healthz() -> Response:
    """Whether the process answers."""
    return Response("ok\n", mimetype="text/plain")


@operations.get("/readyz")
def readyz() -> Response:
    """Whether it has a catalogue to serve. Without one the server does not start, so whoever answers is ready."""
    manifest = catalogue().catalogue.manifest
    return jsonify(ready=True, games=len(catalogue()), encoder=manifest.encoder, created=manifest.created)


@operations.get("/version")
def version() -> Response:
    """Which version of the program answers, and with what."""
    manifest = catalogue().catalogue.manifest
    return jsonify(
        version=current_app.config["VERSION"],
        python=platform.python_version(),
        catalogue={
            "format_version": FORMAT_VERSION,
            "created": manifest.created,
            "encoder": manifest.encoder,
            "revision": manifest.revision,
            "games": len(catalogue()),
        },
    )


@operations.get("/robots.txt")
def robots() -> Response:
    return Response(ROBOTS, mimetype="text/plain")
