"""The terms that describe banners, and where each leads to."""

from dataclasses import dataclass

from flask import Blueprint, render_template

from banners.errors import CannotAnswer
from webapp.current import catalogue
from webapp.pages.walls import WALLS
from webapp.records import Label, json_url
from webapp.served import ServedCatalogue

blueprint = Blueprint("labels", __name__)


@dataclass(frozen=True)
class LabelsPage:
    """The vocabulary."""

    labels: tuple[Label, ...]


def labels_page(served: ServedCatalogue) -> LabelsPage:
    """Raises `CannotAnswer`."""
    terms = served.catalogue.games.terms
    if not terms:
        raise CannotAnswer("Tags are not available for this catalogue.")
    return LabelsPage(tuple(Label(term.name, term.kind) for term in terms))


@blueprint.get("/labels")
def labels() -> str:
    """All terms by their kind."""
    kinds: dict[str, list[Label]] = {}
    for label in labels_page(catalogue()).labels:
        kinds.setdefault(label.kind, []).append(label)
    tab = next(wall for wall in WALLS if wall.tab_path == "labels")
    return render_template("labels.html", kinds=kinds, tab=tab, json_url=json_url("labels"))
