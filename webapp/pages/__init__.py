"""The pages. Each module has one subject: its route, the page's object, and the template's name."""

from webapp.pages import about, adult, board, compare, game, home, images, mix, search, sharing, walls

BLUEPRINTS = tuple(
    page.blueprint for page in (home, game, compare, search, mix, board, walls, about, images, sharing, adult)
)
