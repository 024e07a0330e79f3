"""What a worker is made of, from its settings."""

from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from streams import pipeline, service, settings
from streams.adapters.board import Board
from streams.adapters.retriever.tantivy import TantivyRetriever
from streams.adapters.telemetry import Metrics
from streams.engine.lag import Lag
from tests.support.documents import Script
from tests.support.loops import in_loop, until
from topics.errors import TransportError


def of(**flags: object) -> settings.Settings:
    given = {name.replace("__", "."): value for name, value in flags.items()}
    return settings.load({"kafka.brokers": "127.0.0.1:1", **given}, {}, Path("/")).settings


def planned(monkeypatch: pytest.MonkeyPatch, asked: settings.Settings, roles: tuple[str, ...]):
    plans = []
    monkeypatch.setattr(service, "run", lambda plan, ready: plans.append(plan) or 3)
    monkeypatch.setattr(service.logs, "configure", Log)
    assert 3 == service.worker(asked, roles)
    return plans[0]


def test_worker_of_all_roles_runs_every_app(monkeypatch) -> None:
    plan = planned(monkeypatch, of(), ("core", "infer", "park"))

    assert ("core", "infer", "park", "bury") == plan.apps


@pytest.mark.parametrize(
    ("left", "apps"), [(("park", "bury"), ("park", "bury")), (("bury",), ("bury",)), (("park",), ("park",)), ((), ())]
)
def test_worker_runs_no_app_that_has_no_stage(monkeypatch, left: tuple[str, ...], apps: tuple[str, ...]) -> None:
    every = pipeline.stages(of())
    monkeypatch.setattr(service.pipeline, "stages", lambda *_: tuple(one for one in every if one.name in left))

    assert apps == planned(monkeypatch, of(), ("core", "infer", "park")).apps


def test_worker_knows_all_stages_in_flow_order(monkeypatch) -> None:
    plan = planned(monkeypatch, of(), ("infer",))

    assert [stage.name for stage in pipeline.stages(of())] == [stage.name for stage in plan.stages]


@pytest.mark.parametrize(
    ("flag", "value", "read", "wanted"),
    [
        ("worker__slot", 4, lambda plan: plan.slot, 4),
        ("worker__static_membership", False, lambda plan: plan.static, False),
        ("worker__take_over", True, lambda plan: plan.take_over, True),
        ("worker__state_dir", "here", lambda plan: plan.state_dir, Path("here")),
        ("worker__session_timeout_s", 7, lambda plan: plan.tuning.session_s, 7),
        ("worker__grace_s", 2, lambda plan: plan.tuning.grace_s, 2),
        ("worker__lost_offsets", "skip", lambda plan: plan.tuning.skip_lost_offsets, True),
        ("worker__allow_create_time", True, lambda plan: plan.shape.allow_create_time, True),
        ("topics__partitions", 3, lambda plan: (plan.tuning.partitions, plan.shape.partitions), (3, 3)),
        ("topics__replication", 3, lambda plan: plan.shape.replication, 3),
        ("topics__retention_d", 2.5, lambda plan: plan.shape.retention_d, 2.5),
        ("names__namespace", "mine.", lambda plan: plan.names.namespace, "mine."),
        ("names__prefix", "mine-", lambda plan: plan.names.prefix, "mine-"),
        ("retry__tiers_s", "1,2,3,4", lambda plan: plan.tuning.tiers_s, (1.0, 2.0, 3.0, 4.0)),
        ("kafka__brokers", "a:1,b:2", lambda plan: plan.cluster.brokers, "a:1,b:2"),
        ("infer__in_flight", 9, lambda plan: next(s.slots for s in plan.stages if s.name == "infer"), 9),
    ],
)
def test_setting_reaches_the_plan_unchanged(monkeypatch, flag, value, read, wanted) -> None:
    """A key that is changed changes what the worker is made of."""
    plan = planned(monkeypatch, of(**{flag: value}), ("core",))

    assert wanted == read(plan)


@pytest.mark.parametrize(
    ("roles", "trimming"), [(("park",), 1), (("core", "infer", "park"), 1), (("core", "infer"), 0)]
)
def test_old_records_go_where_the_role_park_runs(monkeypatch, roles, trimming) -> None:
    made = []
    monkeypatch.setattr(service, "Trimmer", lambda *given: made.append(given[-1]))
    planned(monkeypatch, of(topics__retention_d=2.5), roles)

    assert [216_000_000] * trimming == made


@in_loop
async def test_trimming_goes_on_beside_the_worker_and_ends_with_it() -> None:
    told = []

    @asynccontextmanager
    async def part(name: str):
        told.append(name)
        yield
        told.append(f"no {name}")

    async with service._both(part("page"), part("trims")):
        told.append("worker")

    assert ["page", "trims", "worker", "no trims", "no page"] == told


class Readings:
    """Lag as a script: each reading is a list of lags or an error."""

    def __init__(self, *script: object) -> None:
        self.script = list(script)

    @asynccontextmanager
    async def opened(self, cluster: object):
        yield self

    async def read(self, reads: object) -> object:
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, Exception):
            raise step
        return step


class Idle:
    apps = ()


@in_loop
async def test_lag_of_a_broker_that_was_away_is_told_again_later(monkeypatch) -> None:
    import asyncio

    reading = Readings(TransportError("reading lag", "away"), (Lag("g", "t", 1, 2, 0, 9),))
    monkeypatch.setattr(service, "LagReader", reading.opened)
    monkeypatch.setattr(service, "LAG_EVERY_S", 0.001)
    behind: dict = {}
    task = asyncio.ensure_future(service._lag(of(), Idle(), behind))
    await until(lambda: behind)
    task.cancel()

    assert {("g", "t", "1"): 7} == behind


class Page:
    calls_running = held = staticmethod(dict)
    reasons = ()
    apps = ()


class Log:
    def __init__(self) -> None:
        self.told = []

    def info(self, event: str, **more: object) -> None:
        self.told.append((event, more))


@pytest.mark.parametrize(("roles", "kept"), [(("core", "infer"), 1), (("infer", "park"), 0)])
@in_loop
async def test_corpus_is_kept_where_the_core_runs(monkeypatch, roles, kept) -> None:
    """And the worker is not ready before it was read once."""
    monkeypatch.setattr(service, "following", lambda *_: Script())
    monkeypatch.setattr(service, "BrokerOriginals", lambda *_: nothing())
    monkeypatch.setattr(service, "_boards", lambda *_: None)
    plan, page = planned(monkeypatch, of(worker__http_port=0), roles), Page()
    page.others = []
    monkeypatch.setattr(service, "BrokerOriginals", nothing)
    async with plan.beside(page):
        reasons = [reason for other in page.others for reason in other()]

    assert ["documents: reading to their end"] * kept == reasons


@pytest.mark.parametrize(("roles", "kind"), [(("core",), TantivyRetriever), (("infer",), type(None))])
def test_retriever_is_given_to_the_stages_of_a_core(monkeypatch, roles, kind) -> None:
    given = []
    monkeypatch.setattr(service.pipeline, "stages", lambda *parts: given.append(parts[2]) or ())
    planned(monkeypatch, of(), roles)

    assert [kind] == list(map(type, given))


@asynccontextmanager
async def nothing():
    yield


@in_loop
async def test_page_of_a_worker_is_served_while_it_runs() -> None:
    log = Log()
    async with service._page(of(worker__http_port=0), Page(), Metrics(process=False), log):
        event, more = log.told[0]

    assert "listening" == event
    assert more["address"].startswith("127.0.0.1:")


@in_loop
async def test_port_of_the_page_is_left_alone_until_the_worker_has_its_place(monkeypatch) -> None:
    """Its predecessor may still show its own there."""
    monkeypatch.setattr(service, "BrokerOriginals", lambda *_: nothing())
    served = []
    monkeypatch.setattr(service.web, "serve", lambda host, port, *_: served.append(port) or nothing())
    plan, page = planned(monkeypatch, of(worker__http_port=7), ("park",)), Page()
    page.others = []
    async with plan.beside(page):
        before = list(served)
        async with plan.page(page):
            assert ([], [7]) == (before, served)


class Holding:
    """A provider with connections."""

    closed = 0

    async def aclose(self) -> None:
        self.closed += 1


@in_loop
async def test_connections_of_all_providers_are_closed_when_the_worker_has_stopped() -> None:
    called = {"openai": Holding(), "anthropic": Holding()}
    async with service._beside(of(), Page(), nothing(), Metrics(process=False), None, called):
        before = [provider.closed for provider in called.values()]

    assert ([0, 0], [1, 1]) == (before, [provider.closed for provider in called.values()])


@pytest.mark.parametrize(
    ("roles", "needed"), [(("infer",), True), (("core", "infer"), True), (("core", "park"), False)]
)
def test_key_of_the_provider_is_needed_where_calls_are_made(monkeypatch, roles, needed) -> None:
    paid = of(provider__kind="openai")
    if not needed:
        assert planned(monkeypatch, paid, roles)
        return
    with pytest.raises(settings.SettingsRefused, match=r"provider\.openai\.base_url"):
        service.worker(paid, roles)


def test_providers_of_the_settings_are_those_that_are_called_and_closed(monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(service, "_beside", lambda *given: seen.append(given[5]))
    plan = planned(monkeypatch, of(routes={"default": ["echo:m"]}), ("infer",))
    plan.beside(None)

    assert [["echo"]] == [list(called) for called in seen]


class Kept:
    """Stands for what keeps a board in step."""

    board = "the board"
    reasons = ("breakers: reading to their end",)
    entered = 0

    def states(self):
        return {("openai:gpt-5",): 2.0}

    @asynccontextmanager
    async def running(self):
        self.entered += 1
        yield self


@pytest.mark.parametrize(("roles", "kind"), [(("infer", "core"), Board), (("core", "park"), type(None))])
def test_board_is_given_to_the_stages_where_calls_are_made(monkeypatch, roles, kind) -> None:
    given = []
    monkeypatch.setattr(service.pipeline, "stages", lambda *parts: given.append(parts[4]) or ())
    planned(monkeypatch, of(), roles)

    assert [kind] == list(map(type, given))


def test_board_of_each_life_of_a_worker_has_a_name_of_its_own(monkeypatch) -> None:
    """So that a grant to an earlier life is none to this."""
    given = []
    monkeypatch.setattr(service.pipeline, "stages", lambda *parts: given.append(parts[4].worker) or ())
    for _ in range(2):
        planned(monkeypatch, of(worker__slot=3), ("infer",))

    assert (2, True) == (len({*given}), all("-3-" in name for name in given))


def test_breaker_settings_reach_the_board_and_the_stage(monkeypatch) -> None:
    given = []
    monkeypatch.setattr(service.pipeline, "stages", lambda *parts: given.append(parts) or ())
    planned(monkeypatch, of(breaker__consecutive=9), ("infer",))

    [(asked, *_, board)] = given
    assert (9, 9) == (board._policy.consecutive, asked.breaker.policy().consecutive)


@in_loop
async def test_worker_is_not_ready_before_its_board_is() -> None:
    page, metrics, boards = Page(), Metrics(process=False), Kept()
    page.others = []
    async with service._beside(of(worker__http_port=0), page, nothing(), metrics, None, {}, boards):
        reasons = [reason for other in page.others for reason in other()]

    assert (["breakers: reading to their end"], 1) == (reasons, boards.entered)
    assert b'prompt_streams_breaker_state{service="openai:gpt-5"} 2.0' in metrics.render()
