"""What a template may do, part by part, and each way in which it may not run wild."""

import pytest
from jinja2 import Template, TemplateSyntaxError

from streams.adapters.sandbox import FILTERS, METER, METHODS, Bounded, Meter, OutOfBounds, Sandbox, printed

VALUES = {"text": "hello", "names": ["b", "a", "b"], "rows": [{"n": 2, "t": "x"}, {"n": 1, "t": "y"}], "none": None}


def made(source, steps=500, size=1000, work=20_000, **values):
    sandbox = Sandbox()
    code = sandbox.compile(Bounded().visit(sandbox.parse(source)), "t", "t.j2")
    template = Template.from_code(sandbox, code, dict(sandbox.globals))
    return "".join(template.generate({**VALUES, **values, METER: Meter(steps, work, size)}))


def refusal(source, **bounds):
    with pytest.raises(OutOfBounds) as refused:
        made(source, **bounds)
    return refused.value.reason


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ text }} & <b>", "hello & <b>"),
        ("{{ none }}|", "|"),
        ("{{ text ~ 1 ~ none }}", "hello1"),
        ("{{ 2 + 3 * 4 - 1 }} {{ 7 // 2 }} {{ 1 / 2 }}", "13 3 0.5"),
        ("{{ 'ab' * 3 }}", "ababab"),
        ("{{ 'a' + 'b' }}", "ab"),
        ("{% for n in names %}{{ loop.index }}{{ n }}{% if not loop.last %},{% endif %}{% endfor %}", "1b,2a,3b"),
        ("{% for n in [] %}x{% else %}none{% endfor %}", "none"),
        ("{% for n in names if n == 'a' %}{{ n }}{{ loop.length }}{% endfor %}", "a1"),
        ("{% for i in range(3) %}{{ i }}{% endfor %}", "012"),
        ("{% for k, v in rows[0].items() %}{{ k }}={{ v }};{% endfor %}", "n=2;t=x;"),
        ("{% set a = 1 %}{{ a }}{% with b = 2 %}{{ b }}{% endwith %}", "12"),
        ("{% if text is defined and 'ell' in text %}yes{% endif %}", "yes"),
        ("{{ text[1:3] }}{{ rows[0].n }}{{ rows[1]['t'] }}", "el2y"),
        ("{% raw %}{{ x }}{% endraw %}{# gone #}", "{{ x }}"),
        ("{{ text.upper() }}{{ 'a b'.split()|join('-') }}", "HELLOa-b"),
    ],
)
def test_template_of_allowed_parts_gives_its_text(source, text):
    assert text == made(source)


FILTERED = [
    ("none.x|default('d')", "d"),
    ("''|default('d', true)", "d"),
    ("text|default('d')", "hello"),
    ("'a\nb\n'|indent(2)", "a\n  b\n"),
    ("'a\nb'|indent(1, true)", " a\n b"),
    ("names|join(', ')", "b, a, b"),
    ("rows|map('t')|join", "xy"),
    ("text|replace('l', 'LL')", "heLLLLo"),
    ("2.567|round(1)", "2.6"),
    ("names|sort|join", "abb"),
    ("rows|sort('n')|map('t')|join", "yx"),
    ("names|sort(reverse=true)|join", "bba"),
    ("text|truncate(4)", "hel…"),
    ("text|truncate(5)", "hello"),
    ("text|truncate(0, '')", ""),
    ("(0 - 3)|abs", "3"),
    ("text|capitalize", "Hello"),
    ("names|first", "b"),
    ("'1.5'|float", "1.5"),
    ("'12'|int", "12"),
    ("rows[0]|items|length", "2"),
    ("names|last", "b"),
    ("names|length", "3"),
    ("'ab'|list|join('-')", "a-b"),
    ("'AB'|lower", "ab"),
    ("text|reverse", "olleh"),
    ("12|string", "12"),
    ("'a b'|title", "A B"),
    ("rows|tojson", '[{"n": 2, "t": "x"}, {"n": 1, "t": "y"}]'),
    ("'é<'|tojson", '"é<"'),
    ("' a '|trim", "a"),
    ("names|unique|join", "ba"),
    ("text|upper", "HELLO"),
    ("'a b c'|wordcount", "3"),
]


@pytest.mark.parametrize(("expression", "text"), FILTERED)
def test_filter_gives_what_its_name_says(expression, text):
    assert text == made("{{ " + expression + " }}")


def test_filters_are_all_shown_by_an_example():
    assert set() == {name for name in FILTERS if not any(f"|{name}" in expression for expression, _ in FILTERED)}


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("{% include 'a' %}", "'include'"),
        ("{% import 'a' as a %}", "'import'"),
        ("{% from 'a' import b %}", "'from … import'"),
        ("{% extends 'a' %}", "'extends'"),
        ("{% block a %}{% endblock %}", "'block'"),
        ("{% macro a() %}{% endmacro %}", "'macro'"),
        ("{% call text() %}{% endcall %}", "'call'"),
        ("{% filter upper %}a{% endfilter %}", "'filter block'"),
        ("{% set a %}b{% endset %}", "'set block'"),
        ("{% set text.a = 1 %}", "'assignment to an attribute'"),
        ("{% autoescape true %}{% endautoescape %}", "'autoescape'"),
        ("{{ 2 ** 3 }}", "'**'"),
        ("{{ '%s' % 3 }}", "'%'"),
        ("{% for a in rows recursive %}{% endfor %}", "'recursive'"),
        ("{{ text.format(1) }}", "may be called"),
        ("{{ text() }}", "may be called"),
        ("{% for a in names %}{{ loop.cycle(1, 2) }}{% endfor %}", "may be called"),
        ("{% if true %}{{ [2 ** 3] }}{% endif %}", "'**'"),
        ("{{ text ~ (2 ** 3) }}", "'**'"),
    ],
)
def test_part_that_is_not_allowed_is_refused_before_it_runs(source, named):
    assert named in refusal(source)


def test_refusal_of_a_part_tells_its_line():
    with pytest.raises(OutOfBounds) as refused:
        made("a\nb\n{{ 2 ** 3 }}")

    assert 3 == refused.value.lineno


@pytest.mark.parametrize("name", ["attr", "center", "format", "random", "pprint", "batch", "slice", "sum", "xmlattr"])
def test_filter_that_is_random_or_boundless_is_not_there(name):
    with pytest.raises(TemplateSyntaxError, match=name):
        made("{{ text|" + name + " }}")


@pytest.mark.parametrize("name", ["lipsum", "cycler", "joiner", "namespace", "dict"])
def test_global_of_jinja_is_not_there(name):
    assert name not in Sandbox().globals


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 10000000000 }}",
        "{{ 10000000000 * 'a' }}",
        "{{ [1] * 10000000000 }}",
        "{{ 'a' * 1001 }}",
        "{{ 'a' * 600 + 'b' * 600 }}",
        "{{ 'a' * 600 ~ 'b' * 600 }}",
        "{% set a = text * 100 %}{% set a = a ~ a ~ a %}",
        "{{ text|replace('', 'y' * 900) }}",
        "{{ (text * 100)|replace('l', 'yyyyyyy') }}",
        "{{ range(10000000000) }}",
        "{{ names|join('x' * 500) }}",
        "{{ ('a\n' * 100)|indent(50) }}",
        "{{ ('a ' * 400).split() }}",
    ],
)
def test_value_that_grows_above_the_cap_is_refused(source):
    """B132."""
    assert "a value grows too large" == refusal(source)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(30) %}{% for b in range(30) %}{% endfor %}{% endfor %}",
        "{% for a in range(60) %}{% for b in range(60) %}{% if b %}{% endif %}{% endfor %}{% endfor %}",
        "{% for a in range(60) %}{% for b in range(5) %}{{ text|upper }}{% endfor %}{% endfor %}",
        "{% for a in range(60) %}{% for b in range(5) %}{{ text.upper() }}{% endfor %}{% endfor %}",
        "{% for a in range(60) %}{{ 'a' * 900 }}{% endfor %}",
        "{% set t = text * 150 %}{% for a in range(60) %}{{ t|wordcount }}{% endfor %}",
    ],
)
def test_work_above_the_meter_is_refused(source):
    """B132."""
    assert "it takes too many steps" == refusal(source)


@pytest.mark.parametrize(("steps", "enough"), [(3, True), (2, False)])
def test_loop_takes_a_step_an_item(steps, enough):
    source = "{% for a in names %}x{% endfor %}"

    assert "xxx" == made(source, steps=steps) if enough else "it takes too many steps" == refusal(source, steps=steps)


@pytest.mark.parametrize("source", ["{{ 9 * " + "9" * 90 + " }}", "{{ (" + "9" * 60 + ") * (" + "9" * 60 + ") }}"])
def test_number_that_grows_too_large_is_refused(source):
    assert "a number grows too large" == refusal(source)


def test_indent_that_is_too_wide_is_refused():
    assert "an indent is above 100" == refusal("{{ text|indent(101) }}")


@pytest.mark.parametrize(
    "source",
    ["{{ names }}", "{{ rows[0] }}", "{{ names ~ 'a' }}", "{{ names|string }}", "{{ rows|join }}", "{{ self }}"],
)
def test_value_that_is_no_text_is_not_printed(source):
    assert refusal(source).startswith("a list or an object is printed")


@pytest.mark.parametrize(("value", "shown"), [(None, ""), ("a", "a"), (1, 1), (1.5, 1.5), (True, True), ("", "")])
def test_printed_value_stays_unless_it_is_none(value, shown):
    assert shown == printed(value)


@pytest.mark.parametrize(
    "source", ["{{ text.__class__ }}", "{{ text['__class__'] }}", "{{ names.__init__.__globals__ }}"]
)
def test_python_behind_a_value_is_out_of_reach(source):
    with pytest.raises(Exception, match=r"unsafe|is not allowed|has no attribute"):
        made(source)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_method_that_is_allowed_changes_no_value(method):
    assert {"append", "pop", "update", "clear", "setdefault", "format", "join", "ljust"} & {method} == set()


def test_two_renderings_of_one_template_have_meters_of_their_own():
    source = "{% for a in names %}x{% endfor %}"

    assert ["xxx", "xxx"] == [made(source, steps=3) for _ in range(2)]
