"""The pages. Each module has one subject: its route, the page's object, and the template's name."""

from webapp.pages import (
    about,
    adult,
    board,
    compare,
    cover,
    game,
    home,
    images,
    map,
    mix,
    parts,
    search,
    sharing,
    walls,
)

_PAGES = (home, game, compare, cover, search, mix, parts, map, board, walls, about, images, sharing, adult)
BLUEPRINTS = tuple(page.blueprint for page in _PAGES)
