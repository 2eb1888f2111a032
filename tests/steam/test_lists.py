import pytest

from banners.steam import lists
from banners.steam.api import Store
from banners.steam.http import Client, Unanswered, Unreachable
from banners.steam.lists import Listed, SteamSpy, list_games
from tests.steam.steam_server import Steam, serving


@pytest.mark.parametrize(
    ("text", "owners"),
    [("1,000,000 .. 2,000,000", 1_500_000), ("0 .. 20,000", 10_000), ("", 0), (None, 0), ("many", 0)],
)
def test_owners_are_the_middle_of_their_range(text, owners):
    assert lists.middle_of(text) == owners


class Told:
    """What a list was told to a user, and how long it waited."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.pauses: list[float] = []

    def list(self, url: str, most: int | None, pause: float = 60.0, sleep: object = None) -> Listed:
        store = Store(Client(pause=0.01, attempts=2), f"{url}/api", on_warning=self.warnings.append)
        client = Client(attempts=1)
        spy = SteamSpy(client, f"{url}/spy", pause, self.warnings.append, sleep or self.pauses.append)
        return list_games(store, spy, most, (), lambda *_: None)


def test_the_stores_own_list_is_taken_and_steamspy_marks_the_most_played():
    told = Told()
    with serving(Steam(700, troubles=False)) as server:
        listed = told.list(server.url, 300)
    assert list(listed.games) == [10 * number for number in range(1, 301)]
    assert listed.benchmark == set(server.appids[-100:])
    assert listed.gap == ""
    assert (told.warnings, told.pauses) == ([], [])


def test_where_steamspy_throttles_steams_chart_marks_the_most_played_and_nobody_waits():
    told = Told()
    with serving(Steam(30, troubles=False, spy_throttled=1e9)) as server:
        assert told.list(server.url, 10).benchmark == {300}
    assert (told.warnings, told.pauses) == ([], [])


def test_without_any_chart_there_is_one_warning():
    told = Told()
    with serving(Steam(30, troubles=False, spy_throttled=1e9, has_chart=False)) as server:
        assert told.list(server.url, 10).benchmark == set()
    assert [text.endswith("no game is marked as one of the most played") for text in told.warnings] == [True]


def test_where_the_store_does_not_answer_steamspy_lists_by_owners_with_a_pause_between_pages():
    told = Told()
    with serving(Steam(2500, troubles=False, query_down=True)) as server:
        listed = told.list(server.url, 1500)
    assert list(listed.games) == [10 * number for number in range(1, 1501)]
    assert (listed.games[10].name, listed.games[10].is_known) == ("Game 10", False)
    assert listed.games[10].popularity > listed.games[20].popularity > 0
    assert told.pauses == [60]
    assert told.warnings[0].endswith("asking SteamSpy for its list")
    assert told.warnings[1:] == ["the list is SteamSpy's"]


def test_steamspys_whole_list_ends_with_a_page_that_is_not_full():
    told = Told()
    with serving(Steam(1300, troubles=False, query_down=True)) as server:
        assert list(told.list(server.url, None).games) == server.appids
    assert told.pauses == [60]


def test_its_throttling_is_waited_for_and_said():
    told = Told()
    with serving(Steam(1300, troubles=False, query_down=True, spy_throttled=1e9)) as server:

        def sleep(seconds: float) -> None:
            told.pauses.append(seconds)
            server.spy_throttled = 1e9 if len(told.pauses) < 3 else 0.0

        assert len(told.list(server.url, None, sleep=sleep).games) == 1300
    assert told.pauses == [60, 60, 60, 60]
    assert [text.rpartition("; ")[2] for text in told.warnings[1:-1]] == [
        f"asking again in 60 s ({number} of 3)" for number in (1, 2, 3)
    ]


def test_a_list_that_steamspy_breaks_off_is_kept_and_said():
    told = Told()
    with serving(Steam(2500, troubles=False, query_down=True)) as server:

        def sleep(seconds: float) -> None:
            server.spy_throttled = 1e9

        listed = told.list(server.url, None, sleep=sleep)
    assert len(listed.games) == 1000
    assert listed.gap.startswith("SteamSpy's list ends after 1000 games: ")


def test_a_list_of_steamspys_that_repeats_itself_ends():
    with serving(Steam(1000, troubles=False, query_down=True, repeats=True)) as server:
        listed = Told().list(server.url, 5000)
    assert (len(listed.games), listed.gap) == (1000, "")


def test_that_nothing_can_be_reached_is_told_from_an_odd_answer():
    with pytest.raises(Unreachable):
        Told().list("http://127.0.0.1:9", 5)
    with serving(Steam(3, query_down=True, spy_throttled=1e9)) as server:
        with pytest.raises(Unanswered) as caught:
            Told().list(server.url, 5)
        assert not isinstance(caught.value, Unreachable)
