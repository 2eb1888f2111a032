"""The pages. Each module has one subject: its route, the page's object, and the template's name."""

from webapp.pages import about, adult, game, home, images, labels, mix, search, walls

BLUEPRINTS = tuple(page.blueprint for page in (home, game, search, mix, walls, labels, about, images, adult))
