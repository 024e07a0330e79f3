"""Which templates a directory has, under which version, what each reads, and what is told of a broken one."""

from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.adapters import templates
from streams.adapters.templates import VALUES, Bounds, FileTemplate, load, system_text
from topics.errors import ConfigurationError, TemplateFailed

GIVEN = {
    "prompt": "hi",
    "messages": ({"role": "user", "content": "hi"},),
    "passages": ({"id": "d", "text": "p"},),
    "context": "[[1]]",
    "metadata": {"a": 1},
    "model": "m",
    "tenant": None,
}


def directory(tmp_path, **sources):
    for name, source in sources.items():
        (tmp_path / f"{name}.j2").write_bytes(source if isinstance(source, bytes) else source.encode())
    return tmp_path


def template(source, **bounds):
    return FileTemplate(Path("dir/sum.j2"), source.encode(), Bounds(**bounds))


def refused(source, **values):
    with pytest.raises(TemplateFailed) as failed:
        template(source, max_bytes=100, max_steps=50).render({**GIVEN, **values})
    return failed.value


def broken(tmp_path, source):
    with pytest.raises(ConfigurationError) as wrong:
        load(directory(tmp_path, bad=source))
    return wrong.value


def test_templates_of_no_directory_are_none():
    assert {} == load(None)


def test_templates_of_a_directory_are_named_by_their_files(tmp_path):
    (tmp_path / "readme.md").write_text("{{ broken")
    (tmp_path / "sub.j2").mkdir()

    assert ["a", "b.v2"] == list(load(directory(tmp_path, **{"b.v2": "x", "a": "y"})))


def test_version_of_a_template_is_the_hash_of_its_bytes(tmp_path):
    assert sha256("né\n".encode()).hexdigest() == load(directory(tmp_path, a="né\n"))["a"].version


def test_version_of_a_changed_template_is_another(tmp_path):
    before = load(directory(tmp_path, a="x"))["a"].version

    assert before != load(directory(tmp_path, a="x "))["a"].version


def test_templates_once_loaded_cannot_change(tmp_path):
    with pytest.raises(TypeError):
        load(directory(tmp_path, a="x"))["b"] = None


@pytest.mark.parametrize("name", VALUES)
def test_value_of_a_request_may_be_read(name):
    assert frozenset({name}) == template("{{ " + name + "|tojson }}").reads


def test_reads_of_a_template_leave_out_its_own_names():
    source = "{% set a = prompt %}{% for b in range(2) %}{{ a }}{{ b }}{% endfor %}"

    assert frozenset({"prompt"}) == template(source).reads


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Sum up: {{ prompt }}", "Sum up: hi"),
        ("{% for p in passages %}{{ p.id }}: {{ p.text }}{% endfor %}", "d: p"),
        ("{{ context }}{{ model }}{{ tenant }}{{ metadata.a }}", "[[1]]m1"),
        ("{{ messages[0].content }}\n", "hi"),
        ("{{ metadata.b|default('none') }}", "none"),
    ],
)
def test_rendered_text_is_made_of_the_request(source, text):
    assert text == template(source).render(GIVEN)


def test_rendered_prompt_with_marks_of_a_template_stays_text():
    assert "{{ 1 + 1 }}{% x %}" == template("{{ prompt }}").render({**GIVEN, "prompt": "{{ 1 + 1 }}{% x %}"})


@pytest.mark.parametrize(
    ("source", "line", "reason"),
    [
        ("a\n{{ metadata.nope }}", 2, "it reads something that the request does not have"),
        ("{{ metadata[prompt].x }}", 1, "it reads something that the request does not have"),
        ("\n\n{{ 1 / 0 }}", 3, "ZeroDivisionError"),
        ("{{ prompt|int }}", 1, "ValueError"),
        ("{{ prompt + 1 }}", 1, "TypeError"),
        ("{{ 'a' * 101 }}", 1, "a value grows too large"),
        (
            "{% for a in range(6) %}\n{% for b in range(6) %}\n{{ a + b }}{% endfor %}{% endfor %}",
            3,
            "it takes too many steps",
        ),
        ("{{ 'a' * 60 }}{{ 'b' * 60 }}", None, "it makes more than 100 bytes"),
        ("{{ 'é' * 51 }}", None, "it makes more than 100 bytes"),
        (" \n{% if false %}x{% endif %}", None, "nothing comes out"),
        ("{{ prompt.__class__ }}", 1, "SecurityError"),
    ],
)
def test_failure_of_a_rendering_tells_line_and_reason(source, line, reason):
    failed = refused(source)

    assert ("sum", line, reason) == (failed.template, failed.line, failed.reason)


@pytest.mark.parametrize(
    "source", ["{{ metadata[prompt].x }}", "{{ prompt|int }}", "{{ prompt|list }}", "{{ prompt + 1 }}"]
)
def test_failure_of_a_rendering_quotes_no_prompt(source):
    """B132."""
    failed = refused(source, prompt="Zebra-Marker")

    assert "Zebra" not in str(failed)
    assert failed.__cause__ is None or "Zebra" not in str(failed.__cause__)


def test_output_at_the_cap_is_rendered():
    assert 100 == len(template("{{ 'a' * 50 }}{{ 'b' * 50 }}", max_bytes=100).render(GIVEN))


def test_output_above_the_cap_stops_while_it_is_made():
    """Without a cap, these steps would make 20 GB."""
    source = "{% for a in range(20000) %}" + "{{ 'a' * 1000000 }}" + "{% endfor %}"

    with pytest.raises(TemplateFailed):
        template(source).render(GIVEN)


@pytest.mark.parametrize(
    ("source", "line", "told"),
    [
        ("{% if %}", 1, "mend the line: Expected an expression"),
        ("a\n{{ x", 2, "mend the line"),
        ("\n{{ prompt|uper }}", 2, "No filter named 'uper'"),
        ("\n\n{% include 'b' %}", 3, "'include' is not allowed in a template: leave it out"),
        ("\n{{ promt }}", 2, "promt is not there: did you mean prompt? there are prompt, messages"),
        ("{{ zzz }}", 1, "zzz is not there: there are prompt, messages"),
    ],
)
def test_broken_template_is_refused_with_file_line_and_fix(tmp_path, source, line, told):
    """B132."""
    wrong = broken(tmp_path, source)

    assert ("assemble.templates_dir", f"{tmp_path}/bad.j2:{line}") == (wrong.field, wrong.value)
    assert told in wrong.fix


def test_template_that_is_no_utf8_is_refused_by_byte(tmp_path):
    assert "write it in UTF-8 (byte 1 is not)" == broken(tmp_path, b"a\xff").fix


@pytest.mark.parametrize("name", ["a b", "-a", "é", ""])
def test_template_under_a_strange_name_is_refused(tmp_path, name):
    with pytest.raises(ConfigurationError, match="name it with letters"):
        load(directory(tmp_path, **{name: "x"}))


def test_directory_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigurationError, match="no such directory"):
        load(tmp_path / "nowhere")


def test_template_that_cannot_be_read_is_refused_by_kind(tmp_path):
    with pytest.raises(ConfigurationError, match="FileNotFoundError"):
        templates._read(tmp_path / "gone.j2", Bounds())


def test_system_text_of_a_file_has_no_outer_space(tmp_path):
    (tmp_path / "s.txt").write_text("\nbe brief, né\n", "utf-8")

    assert "be brief, né" == system_text(tmp_path / "s.txt")


@pytest.mark.parametrize(
    ("content", "told"), [(None, "FileNotFoundError"), (b"\xff", "UnicodeDecodeError"), (b" \n", "it is empty")]
)
def test_system_file_that_is_of_no_use_is_refused(tmp_path, content, told):
    if content is not None:
        (tmp_path / "s.txt").write_bytes(content)

    with pytest.raises(ConfigurationError, match=told) as wrong:
        system_text(tmp_path / "s.txt")
    assert "assemble.system_file" == wrong.value.field


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(WORDS, WORDS)
def test_any_words_in_any_template_come_out_as_they_went_in(prompt, title):
    made = template("A {{ prompt }}\n{% for p in passages %}{{ p.title }}{% endfor %} Z")

    assert f"A {prompt}\n{title} Z" == made.render({**GIVEN, "prompt": prompt, "passages": ({"title": title},)})


PIECES = st.lists(
    st.sampled_from([
        "{{ prompt }}", "{{ prompt * 99 }}", "{% for a in range(40) %}", "{% endfor %}", "{% if prompt %}",
        "{% endif %}", "{{ messages }}", "{{ metadata.x }}", "{{ prompt|upper ~ 1 }}",
        "{% set b = prompt ~ prompt %}", "{{ b }}", "{{", "x",
    ]),
    max_size=8,
).map("".join)  # fmt: skip


@given(PIECES)
def test_any_template_gives_a_bounded_text_or_a_typed_refusal(source):
    try:
        text = template(source, max_bytes=200, max_steps=300).render(GIVEN)
    except (ConfigurationError, TemplateFailed):
        return

    assert 0 < len(text.encode()) <= 200
