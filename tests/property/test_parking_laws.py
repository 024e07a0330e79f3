"""What holds of every way through the tiers, and of every clock?"""

import math

from hypothesis import given
from hypothesis import strategies as st

from streams.decisions import parking, retry
from streams.decisions.parking import ORIGIN, TIERS, Forward, Heard, Unreadable
from topics.catalog import ASSEMBLED, CATALOG, PARKED

policies = st.lists(st.integers(1, 1200), min_size=4, max_size=4, unique=True).map(
    lambda tiers: retry.RetryPolicy(tiers_s=tuple(sorted(float(tier) for tier in tiers)))
)
waits_s = st.floats(0.0, 7200.0)
lanes = st.sampled_from(sorted(ASSEMBLED.values()))
names = st.text("abc-", min_size=1, max_size=6).map(lambda name: f"x.{name}")
others = st.lists(st.tuples(names, st.binary(max_size=8)), max_size=5).map(tuple)
wild = st.lists(
    st.tuples(
        st.one_of(st.sampled_from((ORIGIN, TIERS)), names), st.one_of(st.binary(max_size=12), lanes.map(str.encode))
    )
).map(tuple)
clocks_ms = st.integers(-10_000_000, 2_000_000_000_000)


def walked(policy: retry.RetryPolicy, lane: str, wait_s: float, carried: parking.Headers) -> tuple[list[str], Forward]:
    """The tiers that a record meets which waits so long, and where it comes out."""
    stop: Forward | Unreadable = parking.output(lane, retry.park(policy, 0.0, wait_s).tiers, policy.tiers_s)
    assert isinstance(stop, Forward)
    stop, met = Forward(stop.topic, (*carried, *stop.headers)), list[str]()
    while stop.topic in PARKED:
        met.append(stop.topic)
        following = parking.next_stop(stop.headers)
        assert isinstance(following, Forward)
        stop = following
    return met, stop


@given(policies, lanes, waits_s, others)
def test_parked_record_always_returns_to_its_lane_with_its_headers(
    policy: retry.RetryPolicy, lane: str, wait_s: float, carried: parking.Headers
) -> None:
    _, out = walked(policy, lane, wait_s, carried)

    assert Forward(lane, carried) == out


@given(policies, lanes, waits_s)
def test_parked_record_waits_in_the_tiers_that_were_chosen(policy: retry.RetryPolicy, lane: str, wait_s: float) -> None:
    met, _ = walked(policy, lane, wait_s, ())

    assert list(retry.park(policy, 0.0, wait_s).tiers) == [policy.tiers_s[PARKED.index(topic)] for topic in met]


@given(policies, lanes, waits_s)
def test_parked_record_is_due_no_later_than_its_tiers_after_it_was_wanted(
    policy: retry.RetryPolicy, lane: str, wait_s: float
) -> None:
    """A remainder that is waited in process may be left, one tier too much may be waited; never more of either."""
    met, _ = walked(policy, lane, wait_s, ())
    waited_s = sum(policy.tiers_s[PARKED.index(topic)] for topic in met)

    assert wait_s - policy.in_process_s < waited_s <= wait_s + policy.tiers_s[0]


@given(wild)
def test_any_headers_lead_to_a_topic_of_the_stages_or_nowhere(headers: parking.Headers) -> None:
    stop = parking.next_stop(headers)

    assert isinstance(stop, Unreadable) or (stop.topic in CATALOG and not CATALOG[stop.topic].public)


@given(wild)
def test_any_headers_come_to_an_end(headers: parking.Headers) -> None:
    """Each stop takes one tier off the list, so nothing goes round for ever."""
    stop = parking.next_stop(headers)

    assert isinstance(stop, Unreadable) or _left(stop.headers) < max(1, _left(headers))


def _left(headers: parking.Headers) -> int:
    text = next((value for name, value in headers if name == TIERS), b"")
    return sum(int(stop.split(b":")[1]) for stop in text.split(b",") if text) if parking.STOPS.fullmatch(text) else 0


@given(clocks_ms, st.floats(0.001, 1200.0))
def test_due_time_is_never_early_and_late_by_at_most_a_millisecond(appended_ms: int, tier_s: float) -> None:
    waited_ms = parking.due_ms(appended_ms, tier_s) - appended_ms

    assert tier_s * 1000 <= waited_ms <= tier_s * 1000 + 1


@given(clocks_ms, st.floats(0.0, 1e6), st.floats(0.0, 1e5), st.floats(0.0, 30.0))
def test_broker_time_that_was_heard_is_never_ahead_of_the_broker(
    sent_ms: int, heard_s: float, later_s: float, way_s: float
) -> None:
    """The broker stamps at some moment before its answer arrives; whatever passed between is only missing."""
    truly_ms = sent_ms + (way_s + later_s) * 1000

    assert Heard(sent_ms, heard_s).now_ms(heard_s + later_s) <= truly_ms + 0.001


@given(clocks_ms, st.floats(0.0, 1e6), st.floats(0.0, 1e5), st.floats(0.0, 30.0))
def test_broker_time_that_was_heard_is_behind_by_the_way_of_its_answer(
    sent_ms: int, heard_s: float, later_s: float, way_s: float
) -> None:
    truly_ms = sent_ms + (way_s + later_s) * 1000

    assert math.floor(truly_ms - way_s * 1000) - 1 <= Heard(sent_ms, heard_s).now_ms(heard_s + later_s)
