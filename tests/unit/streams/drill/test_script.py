"""The words of a script, and the steps that they stand for."""

import pytest

from streams.drill.script import ACTS, Plan, Step, parse
from topics.errors import ConfigurationError


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        ([], ()),
        (["ok"], (Step("ok"),)),
        (["ok", "hang"], (Step("ok"), Step("hang"))),
        ([" ok "], (Step("ok"),)),
        (["ok*3"], (Step("ok"),) * 3),
        (["429"], (Step("429"),)),
        (["429:2"], (Step("429", 2.0),)),
        (["503:1.5*2", "ok"], (Step("503", 1.5), Step("503", 1.5), Step("ok"))),
        (["slow:0.2"], (Step("slow", 0.2),)),
        (["no-usage*1"], (Step("no-usage"),)),
        (["ok*0", "hang"], (Step("hang"),)),
    ],
)
def test_words_of_a_script_become_steps(words, steps):
    assert steps == parse(words)


@pytest.mark.parametrize("act", [act for act in ACTS if act != "NNN"])
def test_every_act_is_a_word(act):
    assert (Step(act),) == parse([act])


@pytest.mark.parametrize(
    "word", ["", "dance", "NNN", "99", "600", "1000", "ok*", "ok*-1", "ok:", "ok:x", "ok ok", "OK", "429:2*"]
)
def test_word_that_is_none_is_refused_by_name(word):
    with pytest.raises(ConfigurationError) as raised:
        parse(["ok", word])

    assert ("steps", word) == (raised.value.field, raised.value.value)


@pytest.mark.parametrize(("act", "status"), [("429", 429), ("500", 500), ("ok", None), ("no-usage", None)])
def test_step_that_is_a_status_knows_it(act, status):
    assert status == Step(act).status


def test_plan_by_default_answers_well_and_at_once():
    assert ((), 0.0, False, None, None) == (Plan().steps, Plan().latency_s, Plan().nonce, Plan().key, Plan().log_path)
