"""The terms that describe banners, and where each leads to."""

from dataclasses import dataclass
from itertools import groupby

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

    @property
    def kinds(self) -> list[tuple[str, list[Label]]]:
        """The terms of each kind."""
        ordered = sorted(self.labels, key=lambda label: [one.kind for one in self.labels].index(label.kind))
        return [(kind, list(terms)) for kind, terms in groupby(ordered, key=lambda label: label.kind)]


def labels_page(served: ServedCatalogue) -> LabelsPage:
    """Raises `CannotAnswer`."""
    terms = served.catalogue.games.terms
    if not terms:
        raise CannotAnswer("Tags are not available for this catalogue.")
    return LabelsPage(tuple(Label(term.name, term.kind) for term in terms))


@blueprint.get("/labels")
def labels() -> str:
    """All terms by their kind."""
    tab = next(wall for wall in WALLS if wall.tab_path == "labels")
    return render_template("labels.html", page=labels_page(catalogue()), tab=tab, json_url=json_url("labels"))
