"""Lists in which editions of a game, and games with the same cover, are one card: ten results are ten looks."""

from collections.abc import Iterable
from dataclasses import replace

from banners.views import View
from webapp.records import Result
from webapp.site import Site

Ranked = tuple[int, float | None]  # a row and its similarity, None if it is not known


def stacks_of(site: Site, ranked: Iterable[Ranked], count: int) -> list[list[Ranked]]:
    """The first `count` stacks, each in the order of `ranked`. Two rows are of one stack if their covers are identical
    or the same picture, or if they are editions of one game."""
    stacks: list[list[Ranked]] = []
    stack_of: dict[object, list[Ranked]] = {}
    for row, similarity in ranked:
        keys = (int(site.art_groups[row]), site.edition(row))
        stack = next((stack_of[key] for key in keys if key in stack_of), None)
        if stack is None:
            if len(stacks) == count:
                break
            stack = []
            stacks.append(stack)
        stack.append((row, similarity))
        stack_of.update(dict.fromkeys(keys, stack))
    return stacks


def results_of(
    site: Site, stacks: list[list[Ranked]], view: View, query: int | None = None, of_words: bool = False
) -> tuple[Result, ...]:
    """The first of each stack as a result, with the others in its `stacked`; see `Site.results`."""
    first = site.results([stack[0] for stack in stacks], view, query, of_words)
    return tuple(
        replace(one, stacked=site.results(stack[1:], view, query, of_words)) if stack[1:] else one
        for one, stack in zip(first, stacks, strict=True)
    )
