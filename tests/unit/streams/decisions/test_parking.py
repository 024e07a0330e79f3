import pytest

from streams.decisions import parking, retry
from streams.decisions.parking import ORIGIN, TIERS, Forward, Heard, Unreadable
from topics.catalog import ASSEMBLED, CATALOG, PARKED
from topics.errors import ConfigurationError

TIERS_S = (5.0, 30.0, 120.0, 600.0)
NORMAL = ASSEMBLED["normal"]
TRACE = ("traceparent", b"00-1")


def headers(tiers: bytes | None = None, origin: bytes | None = NORMAL.encode()) -> parking.Headers:
    """Of a record that waits: what it carries, where it came from, and the tiers that follow."""
    ours = ((ORIGIN, origin), (TIERS, tiers))
    return (TRACE, *((name, value) for name, value in ours if value is not None))


def way(tiers: tuple[float, ...]) -> list[str]:
    """The topics that a record meets which is to wait in these tiers."""
    stop: Forward | Unreadable = parking.output(NORMAL, tiers, TIERS_S)
    met = []
    while isinstance(stop, Forward) and stop.topic in PARKED:
        met.append(stop.topic)
        stop = parking.next_stop(stop.headers)
    assert isinstance(stop, Forward)
    return [*met, stop.topic]


# -- where it waits


@pytest.mark.parametrize(
    ("tiers", "topic"),
    [((5.0,), "parked.1"), ((30.0,), "parked.2"), ((120.0,), "parked.3"), ((600.0, 5.0), "parked.4")],
)
def test_output_goes_to_the_topic_of_its_first_tier(tiers: tuple[float, ...], topic: str) -> None:
    assert topic == parking.output(NORMAL, tiers, TIERS_S).topic


def test_output_of_one_tier_names_the_origin_alone() -> None:
    assert ((ORIGIN, b"assembled.normal"),) == parking.output(NORMAL, (30.0,), TIERS_S).headers


@pytest.mark.parametrize(
    ("tiers", "header"),
    [
        ((30.0, 5.0), b"1:1"),
        ((600.0, 600.0, 5.0), b"4:1,1:1"),
        ((600.0, 120.0, 30.0, 5.0, 5.0), b"3:1,2:1,1:2"),
        ((600.0,) * 1009, b"4:1008"),  # a week; the header stays short
    ],
)
def test_output_of_more_tiers_counts_those_that_follow(tiers: tuple[float, ...], header: bytes) -> None:
    assert (TIERS, header) == parking.output(NORMAL, tiers, TIERS_S).headers[-1]


@pytest.mark.parametrize(
    ("tiers", "met"),
    [
        ((5.0,), ["parked.1", NORMAL]),
        ((30.0, 5.0, 5.0), ["parked.2", "parked.1", "parked.1", NORMAL]),
        ((600.0, 120.0, 30.0), ["parked.4", "parked.3", "parked.2", NORMAL]),
        ((5.0, 600.0), ["parked.1", "parked.4", NORMAL]),
    ],
)
def test_parked_record_meets_its_tiers_in_order_and_returns(tiers: tuple[float, ...], met: list[str]) -> None:
    assert met == way(tiers)


def test_tiers_that_a_policy_gives_are_all_known() -> None:
    policy = retry.RetryPolicy()

    assert ["parked.3", "parked.2", "parked.1", NORMAL] == way(retry.park(policy, 0.0, 155.0).tiers)


@pytest.mark.parametrize("tiers", [(7.0,), (5.0, 7.0), (), (5.0, 0.0)])
def test_tier_that_is_not_there_is_refused_by_setting(tiers: tuple[float, ...]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parking.output(NORMAL, tiers, TIERS_S)

    assert ("retry.tiers_s", TIERS_S) == (refused.value.field, refused.value.value)


def test_refusal_of_a_tier_names_its_seconds() -> None:
    with pytest.raises(ConfigurationError, match="no topic to wait 7 s in"):
        parking.output(NORMAL, (7.0,), TIERS_S)


def test_refusal_of_no_tier_at_all_says_so() -> None:
    with pytest.raises(ConfigurationError, match="no topic to wait 0 s in"):
        parking.output(NORMAL, (), TIERS_S)


def test_tier_beyond_the_topics_there_are_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no topic to wait 3600 s in"):
        parking.output(NORMAL, (3600.0,), (*TIERS_S, 3600.0))


# -- where it goes then


def test_last_stop_is_the_origin_without_headers_of_ours() -> None:
    assert Forward(NORMAL, (TRACE,)) == parking.next_stop(headers())


def test_header_that_tells_of_the_wait_goes_with_it() -> None:
    why = ("prompts.parked-because", b"rate-limited")
    stops = [parking.next_stop((why, *headers(tiers))) for tiers in (b"1:1", None)]

    assert [True, False] == [why in stop.headers for stop in stops if isinstance(stop, Forward)]


def test_stop_before_the_last_keeps_the_origin() -> None:
    assert Forward("parked.2", headers()) == parking.next_stop(headers(b"2:1"))


@pytest.mark.parametrize(
    ("tiers", "topic", "left"),
    [
        (b"2:1,1:1", "parked.2", b"1:1"),
        (b"2:2", "parked.2", b"2:1"),
        (b"4:1008,1:1", "parked.4", b"4:1007,1:1"),
        (b"1:100000000", "parked.1", b"1:99999999"),
    ],
)
def test_tier_that_is_taken_leaves_the_list(tiers: bytes, topic: str, left: bytes) -> None:
    assert Forward(topic, headers(left)) == parking.next_stop(headers(tiers))


@pytest.mark.parametrize("lane", ASSEMBLED.values())
def test_record_of_any_lane_returns_to_it(lane: str) -> None:
    assert Forward(lane, (TRACE,)) == parking.next_stop(headers(origin=lane.encode()))


def test_headers_that_it_does_not_know_stay_in_their_order() -> None:
    others = (("b", b"2"), TRACE, ("b", b"3"), ("a", b""))

    assert others == parking.next_stop((others[0], (ORIGIN, b"failed"), *others[1:])).headers  # type: ignore[union-attr]  # a way back


def test_header_that_is_there_twice_counts_the_first_time() -> None:
    twice = ((ORIGIN, b"assembled.low"), (ORIGIN, b"nowhere"), (TIERS, b"1:1"), (TIERS, b"9:9"))

    assert Forward("parked.1", ((ORIGIN, b"assembled.low"),)) == parking.next_stop(twice)


@pytest.mark.parametrize(
    "origin",
    [
        *(pytest.param(name.encode(), id=name) for name, spec in CATALOG.items() if spec.public),
        *(pytest.param(name.encode(), id=name) for name in PARKED),
        b"",
        b"nowhere",
        b"assembled.normal/3",
        b"\xff\xfe",
        None,
    ],
)
def test_origin_that_is_no_topic_of_the_stages_is_unreadable(origin: bytes | None) -> None:
    seen = parking.next_stop(headers(b"1:1", origin))

    assert Unreadable("its headers name no topic of the stages to return to") == seen


@pytest.mark.parametrize(
    "tiers",
    [b"", b"1", b"1:", b":1", b"1:0", b"0:1", b"5:1", b"9:1", b"1:1,", b"1:1,x", b"1:-1", b"1:1 ", b"10:1", b"\xff"],
)
def test_tiers_that_are_no_list_are_unreadable(tiers: bytes) -> None:
    assert Unreadable("its headers name no tiers to wait in") == parking.next_stop(headers(tiers))


def test_number_of_more_digits_than_needed_is_not_read() -> None:
    assert isinstance(parking.next_stop(headers(b"1:" + b"1" * 10)), Unreadable)


def test_record_without_any_header_is_unreadable() -> None:
    assert isinstance(parking.next_stop(()), Unreadable)


# -- when


@pytest.mark.parametrize(
    ("appended_ms", "tier_s", "due_ms"),
    [
        (1_000, 5.0, 6_000),
        (1_000, 0.0, 1_000),
        (0, 0.0001, 1),
        (7, 0.25, 257),
        (1_769_860_800_000, 600.0, 1_769_861_400_000),
    ],
)
def test_record_is_due_a_tier_after_its_append(appended_ms: int, tier_s: float, due_ms: int) -> None:
    assert due_ms == parking.due_ms(appended_ms, tier_s)


@pytest.mark.parametrize(
    ("at_s", "now_ms"), [(100.0, 5_000), (100.0004, 5_000), (100.0009, 5_000), (100.002, 5_001), (160.0, 65_000)]
)
def test_broker_time_runs_on_from_its_stamp_rounded_down(at_s: float, now_ms: int) -> None:
    assert now_ms == Heard(5_000, 100.0).now_ms(at_s)


@pytest.mark.parametrize("skew_ms", [-3_600_000, 0, 3_600_000])
def test_broker_clock_of_any_skew_is_taken_as_it_is(skew_ms: int) -> None:
    """The local wall clock is in no argument: an hour's difference moves stamps and append times alike."""
    appended_ms = 1_769_860_800_000 + skew_ms
    heard = Heard(appended_ms + 2_000, 50.0)

    assert [False, True] == [heard.now_ms(at_s) >= parking.due_ms(appended_ms, 5.0) for at_s in (52.99, 53.001)]
