"""The pages. Each module has one subject: its route, the page's object, and the template's name."""

from webapp.pages import about, adult, game, home, images, mix, search, walls

BLUEPRINTS = tuple(page.blueprint for page in (home, game, search, mix, walls, about, images, adult))
