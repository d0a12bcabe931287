"""A release and the one before it run on one database, in every order that an upgrade or its way back can have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from uuid import UUID

import pytest

from tests.eventually import eventually
from tests.processes import ROOT
from tests.releases.databases import applied, manage, migrating, new_database
from tests.releases.linting import migrations
from tests.releases.previous import NoHistory, Release, previous
from tests.releases.two_releases import CHANNELS, TwoReleases, Web

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Release:
    try:
        return previous(tmp_path_factory.mktemp("before"))
    except NoHistory as reason:
        pytest.skip(f"the code of the release before is not to be had: {reason}")


@pytest.fixture
def site(before: Release, tmp_path: Path) -> Iterator[TwoReleases]:
    """An installation of the release before: its schema, a key that it made, no program yet."""
    with new_database() as url:
        manage(url, "migrate", "--verbosity", "0", root=before.root)
        api_key = manage(url, "create_api_key", "a client", root=before.root).strip()
        assert applied(url) == before.migrations()
        with TwoReleases(url, api_key, tmp_path) as site:
            yield site


@pytest.mark.timeout(300)  # a dozen processes begin and end, on a busy machine
def test_an_upgrade_and_its_way_back_lose_nothing_and_show_no_client_an_error(
    site: TwoReleases, before: Release
) -> None:
    old_web, old_worker = site.start_both(before.root)
    with site.load(clients=4, rate=25, channels=CHANNELS):
        site.until_more_are_accepted(20)
        migrate_under(site)

        # All four at once: whatever one accepts, the other sends, and each knows the other's keys.
        new_web, new_worker = site.start_both()
        for web, worker in product((old_web, new_web), (old_worker, new_worker)):
            site.until_sent(web, worker)
        know_each_others_keys(site, old_web, new_web)

        # On: workers first. What is left to them is sent by the new one.
        site.end_worker(old_worker)
        site.end_web(old_web)
        site.until_more_are_received(20)

        # And back: what the new web accepted while there was no worker is for the old one that comes.
        site.end_worker(new_worker)
        waiting = [accepted_for_soon(site, new_web, channel) for channel in CHANNELS]
        back_web, back_worker = site.start_both(before.root)
        site.end_web(new_web)
        site.until_sent(back_web, back_worker)
    site.settle()

    assert not site.refused(), "no client is told to come again"
    assert {site.sender_of(id_) for id_ in waiting} == {back_worker.id}
    found = site.check()
    assert not found.doubled, "nobody died: nothing is sent twice"
    names = {
        **dict.fromkeys((old_web.url, old_worker.id), "old"),
        **dict.fromkeys((new_web.url, new_worker.id), "new"),
        **dict.fromkeys((back_web.url, back_worker.id), "old again"),
    }
    print(f"{before.commit[:7]} ({before.migrations()[-1]}) and today's: {site.told(names)}")  # shown by -s, or -rP


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_workers_of_two_releases_take_over_from_each_other_when_they_are_killed(
    site: TwoReleases, before: Release
) -> None:
    old_web, old_worker = site.start_both(before.root)
    migrate_under(site)
    new_web, new_worker = site.start_both()
    workers = {before.root: old_worker, ROOT: new_worker}
    with site.load(clients=6, rate=120, channels=CHANNELS):
        for root in (before.root, ROOT) * 5:
            site.until_more_are_accepted(100)
            killed = workers[root]
            site.end_worker(killed, kill=True)
            eventually(
                lambda id_=killed.id: not site.query("SELECT FROM worker WHERE id = %s", id_),  # type: ignore[misc]
                what="the other's taking over",
            )
            workers[root] = site.start_worker(root)
        know_each_others_keys(site, old_web, new_web)
    site.settle()

    assert not site.refused()
    site.check(excused=("unknown",))  # a text message in doubt is held


def test_a_source_without_history_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoHistory, match="git"):
        previous(tmp_path, source=tmp_path)


def migrate_under(site: TwoReleases) -> None:
    with migrating(site.url) as migrate:
        assert migrate.wait(60) == 0, migrate.log
    assert applied(site.url) == list(migrations())


def know_each_others_keys(site: TwoReleases, old: Web, new: Web) -> None:
    for first, second in ((old, new), (new, old)):
        for channel in CHANNELS:
            one, again = site.replayed(first, second, channel=channel, metadata={"b": "1", "a": "2"})
            assert (again.replayed, again.answer) == (True, one.answer)
        assert site.refusal(first, second) == (422, "idempotency_key_reused")


def accepted_for_soon(site: TwoReleases, web: Web, channel: str) -> UUID:
    due = datetime.now(UTC) + timedelta(seconds=1)
    call = site.post(web, channel, f"for soon by {channel}", send_at=due.isoformat())
    return UUID(json.loads(call.answer)["id"])
