"""The language of templates: what it writes, what it refuses, and that nothing leads out of it."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import Any

import pytest
from django.utils import translation
from django.utils.html import escape
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from channels.slack import SlackWebhook
from notifications.templating import (
    Allowance,
    MissingVariable,
    TooMuch,
    UnsuitableVariable,
    WrongTemplate,
    compiled,
)
from notifications.templating.filters import IN_HTML

ORDER = {
    "number": 42,
    "paid": True,
    "total": 1234.5,
    "at": "2030-01-31T09:30:00+01:00",
    "note": None,
    "lines": [{"name": "Tea", "count": 1}, {"name": "Milk & honey", "count": 2}],
}
SLACK = SlackWebhook({}).escape


def html_escape(words: str) -> str:
    return str(escape(words))


def written(source: str, *, html: bool = False, escape: Any = str, **variables: Any) -> str:
    return compiled(source, html=html).render(variables or {"order": ORDER}, escape=html_escape if html else escape)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Order {{ order.number }}", "Order 42"),
        ("{{ order.lines.1.name }}", "Milk & honey"),
        ("{% for line in order.lines %}{{ forloop.counter }}. {{ line.name }} {% endfor %}", "1. Tea 2. Milk & honey "),
        ("{% for name, count in stock %}{{ name }}{{ count }}{% empty %}none{% endfor %}", "none"),
        ("{% if order.number > 41 and not order.gift %}yes{% else %}no{% endif %}", "yes"),
        ("{% if order.gift.paper == 'red' %}red{% elif order.paid %}paid{% endif %}", "paid"),
        ("{% with o=order self=order.number context=1 %}{{ o.number }}{{ self }}{{ context }}{% endwith %}", "42421"),
        ("{% comment %}{{ nothing }}{% endcomment %}{# nor this #}!", "!"),
        ("{{ order.paid }} {{ order.total }}", "true 1234.5"),
        ("{{ order.total|floatformat:2 }} {{ order.total|floatformat:'2g' }}", "1234.50 1,234.50"),
        ("{{ order.at|date }} at {{ order.at|date:'H:i' }}", "31 January 2030 at 09:30"),
        ("{{ order.note|default_if_none:'-' }} {{ order.gift|default:'no gift' }}", "- no gift"),
        ("{{ order.lines|length }} line{{ order.lines|pluralize }}", "2 lines"),
        ("{{ words|join:' and ' }}", "a and b"),
        ("{{ words|first|upper }}{{ words|last|capfirst }}", "AB"),
        ("{{ 'a long text'|truncatechars:7 }}|{{ 'a long text'|truncatewords:2 }}", "a long…|a long …"),
        ("{{ order.paid|yesno:'paid,open' }}", "paid"),
        ("{{ 'Ann & Bob'|urlencode }} {{ 'ann'|title }} {{ 'ANN'|lower }}", "Ann%20%26%20Bob Ann ann"),
    ],
)  # fmt: skip
def test_a_template_is_written_out(source: str, text: str) -> None:
    assert written(source, order=ORDER, words=["a", "b"], stock={}) == text


def test_an_object_is_gone_through_by_both_its_sides() -> None:
    assert written("{% for k, v in d %}{{ k }}={{ v }};{% endfor %}", d={"a": 1, "b": 2.5}) == "a=1;b=2.5;"
    assert written("{% for k in d reversed %}{{ k }}{% endfor %}", d={"a": 1, "b": 2}) == "ba"


def test_html_is_escaped_in_variables_and_left_in_what_the_author_wrote() -> None:
    source = "<p title=\"{{ a }}\">{{ a }}{{ '<br>' }}{{ b|join:'<br>' }}{{ c|linebreaksbr }}{{ d|default:a }}</p>"
    text = written(source, html=True, a='"<&>', b=["<1>", "2"], c="<i>\n", d="")
    safe = "&quot;&lt;&amp;&gt;"
    assert text == f'<p title="{safe}">{safe}<br>&lt;1&gt;<br>2&lt;i&gt;<br>{safe}</p>'


def test_slack_reads_nothing_but_text_in_a_variable() -> None:
    text = written(
        "<https://example.com|look> {{ a }} {{ l|join:' & ' }}", escape=SLACK, a='<!channel> & "x"', l=["<", 1]
    )
    assert text == '<https://example.com|look> &lt;!channel&gt; &amp; "x" &lt; & 1'


def test_a_plain_text_is_not_escaped() -> None:
    assert written("{{ a }}{{ b|join:'&' }}", a="<&>", b=["<", ">"]) == "<&><&>"


def test_no_language_of_a_thread_changes_what_is_written() -> None:
    with translation.override("de"):
        assert written("{{ order.at|date:'F' }} {{ order.total|floatformat:'2g' }}") == "January 1,234.50"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("{{ name }}", "name"),
        ("{{ order.number.upper }}", "order.number.upper"),
        ("{{ order.items }}", "order.items"),
        ("{{ order.lines.2.name }}", "order.lines.2.name"),
        ("{{ order.note }}", "order.note"),
        ("{{ order.note|upper }}", "order.note"),
        ("{{ order.gift|upper|default:'x' }}", "order.gift"),
        ("{{ order.number|default:other }}", "other"),
        ("{% for line in order.lines %}{{ line.price }}{% endfor %}", "order.lines[0].price"),
        ("{% for x in order.lines %}{% if x.count == 2 %}{{ x.price }}{% endif %}{% endfor %}", "order.lines[1].price"),
        ("{% for line in orders %}{% empty %}none{% endfor %}", "orders"),
        ("{% with x=y %}{% endwith %}", "y"),
        ("{% if order.paid %}{{ order.gift }}{% endif %}", "order.gift"),
        ("{% for line in order.lines %}{% endfor %}{{ forloop.counter }}", "forloop.counter"),
        ("{{ request }}", "request"),
        ("{{ csrf_token }}", "csrf_token"),
    ],
)  # fmt: skip
def test_what_was_not_given_is_missing_by_its_name(source: str, name: str) -> None:
    with pytest.raises(MissingVariable) as missing:
        written(source)
    assert missing.value.name == name


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("{{ order }}", "order"),
        ("{{ order.lines }}", "order.lines"),
        ("{{ order.lines|upper }}", "order.lines"),
        ("{{ order.lines|join }}", "order.lines"),
        ("{{ order.number|join:'' }}", "order.number"),
        ("{{ order.number|first }}", "order.number"),
        ("{{ order.number|date }}", "order.number"),
        ("{{ order.at|date:'2030' }}{{ '2030-01-31'|date:'H' }}", ""),
        ("{{ order.lines.0.name|floatformat }}", "order.lines.0.name"),
        ("{{ order.total|floatformat:99999999 }}", "order.total"),
        ("{{ order.at|truncatechars:order }}", "order.at"),
        ("{% for x in order.number %}{% endfor %}", "order.number"),
        ("{% for a, b, c in order.lines %}{% endfor %}", "order.lines"),
        ("{{ forloop }}{% for x in order.lines %}{{ forloop }}{% endfor %}", "forloop"),
    ],
)
def test_what_is_of_another_kind_is_told_by_its_name_and_never_by_its_value(source: str, name: str) -> None:
    with pytest.raises((UnsuitableVariable, MissingVariable)) as error:
        written(source)
    assert error.value.name == name
    assert "Tea" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("a\n\n{% if %}", 3, "Unexpected end"),
        ("a\n{% if x %}\n", 2, "endif"),
        ("{% endif %}", 1, "no tag endif"),
        ("{{ x.__class__ }}", 1, "underscore"),
        ("{{ x._y }}", 1, "underscore"),
        ("{{ }}", 1, "Empty"),
        ("{{ x|safe }}", 1, "no filter safe"),
        ("{{ x|ljust:9 }}", 1, "no filter ljust"),
        ("{{ x|linebreaks }}", 1, "no filter linebreaks"),
        ("{{ x|upper:1 }}", 1, "requires"),
        ("{{ x y }}", 1, "remainder"),
        ("{{ _('x') }}", 1, "translated"),
        ("{{ x|default:_('x') }}", 1, "translated"),
        ("{{ 1e999 }}", 1, "too large"),
        ("{% if _('x %}{% endif %}", 1, "translated"),
        ("{{ x. }}", 1, "middle of a name"),
        ("{% verbatim %}{% endverbatim %}", 1, "no tag verbatim"),
        ("{% if x %}" * 22, 1, "nested"),
        ("{% if " + "not " * 60 + "x %}{% endif %}", 1, "words"),
        ("{{ x }}" * 1001, None, "tags"),
        ("x" * (128 * 1024 + 1), None, "characters"),
        ("\x00", None, "NUL"),
        ("\ud800", None, "surrogate"),
        *((f"{{% {tag} %}}", 1, f"no tag {tag.split()[0]}") for tag in (
            "load i18n", "include 'x'", "extends 'x'", "block x", "now 'Y'", "debug", "autoescape off", "csrf_token",
            "url 'x'", "regroup a by b as c", "firstof x", "cycle 'a' 'b'", "filter upper", "templatetag openblock",
        )),
    ],
)  # fmt: skip
def test_what_is_no_template_is_refused_with_the_line(source: str, line: int | None, words: str) -> None:
    with pytest.raises(WrongTemplate, match=words) as wrong:
        compiled(source)
    assert wrong.value.line == line


def test_a_mistake_is_told_with_its_tag() -> None:
    with pytest.raises(WrongTemplate) as wrong:
        compiled("Hello\n{{ name|safe }}")
    assert str(wrong.value) == "line 2: there is no filter safe here (in {{ name|safe }})"


LOOPS = "{% for a in l %}" * 4 + "x" + "{% endfor %}" * 4


@pytest.mark.parametrize(
    ("source", "variables"),
    [
        (LOOPS, {"l": [1] * 200}),
        ("{% for a in l %}" * 4 + "{% if l == l %}{% endif %}" + "{% endfor %}" * 4, {"l": [[1] * 100] * 60}),
        ("{% for a in l %}{{ x|upper|lower|title }}{% endfor %}", {"l": [1] * 1000, "x": "x" * 10_000}),
        ("{{ l|join:x }}", {"l": [1] * 4000, "x": "x" * 8000}),
        ("{% for a in l %}" + "x" * 10_000 + "{% endfor %}", {"l": [1] * 1000}),
    ],
    ids=["loops", "conditions", "filters", "join", "text"],
)
def test_what_would_take_minutes_or_fill_the_memory_ends_at_once(source: str, variables: dict[str, Any]) -> None:
    began = monotonic()
    with pytest.raises(TooMuch):
        written(source, html=True, **variables)
    assert monotonic() - began < 10


@pytest.mark.parametrize("source", ["{%" * 60_000, "{%" * 900 + "x" * 120_000, "{{ x" + "|upper" * 20_000 + " }}"])
def test_what_is_hard_to_read_is_read_or_refused_in_seconds(source: str) -> None:
    began = monotonic()
    with suppress(WrongTemplate):
        compiled(source)
    assert monotonic() - began < 20


def test_many_share_one_allowance_and_each_has_its_own_bound() -> None:
    whole = Allowance(steps=300, characters=10_000)
    template = compiled("{% for a in l %}x{% endfor %}")
    for _ in range(2):
        part = whole.part()
        before = part.steps
        template.render({"l": [1] * 50}, escape=str, allowance=part)
        whole.take(steps=before - part.steps)
    with pytest.raises(TooMuch):
        template.render({"l": [1] * 50}, escape=str, allowance=whole.part())
    assert Allowance(steps=10**9, characters=10**9).part() == Allowance()


# --- whatever is given ------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    ["a", "b", "items", "upper", "__class__", "self", "context", "forloop", "0", "-1", "None", "x-y"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
    | st.sampled_from(["2030-01-31", "2030-01-31T09:30:00Z", "0001-01-01T00:00:00", "1e9", "<b>", "1"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(".".join)
CONSTANTS = st.sampled_from(
    ["'x'", '"<"', "1", "-2.5", "None", "True", "99999999999", "'Y-m-d H:i e r U'", "'2g'", "_('x')"]
)
OPERANDS = PATHS | CONSTANTS
FILTERS = st.sampled_from([*IN_HTML, "safe", "add", "random", "dictsort"])


@st.composite
def expressions(draw: st.DrawFn) -> str:
    steps = draw(st.lists(st.tuples(FILTERS, st.none() | OPERANDS), max_size=4))
    return draw(OPERANDS) + "".join(f"|{name}" + (f":{given}" if given else "") for name, given in steps)


CONDITIONS = st.lists(
    st.sampled_from(["and", "or", "not", "in", "==", "!=", "<", ">", "is", "not in"]) | expressions(),
    min_size=1, max_size=5,
).map(" ".join)  # fmt: skip
SOURCES = st.recursive(
    st.text(max_size=10)
    | expressions().map("{{{{ {} }}}}".format)
    | st.sampled_from(["{% else %}", "{% elif a %}", "{% empty %}", "{% load x %}", "{%", "}}", "{# a #}", "{{", "\n"]),
    lambda inner: (
        st.lists(inner, max_size=4).map("".join)
        | st.builds("{{% if {} %}}{}{{% endif %}}".format, CONDITIONS, inner)
        | st.builds("{{% for {} in {} %}}{}{{% endfor %}}".format, NAMES, expressions(), inner)
        | st.builds("{{% for {}, {} in {} %}}{}{{% endfor %}}".format, NAMES, NAMES, expressions(), inner)
        | st.builds("{{% with {}={} %}}{}{{% endwith %}}".format, NAMES, expressions(), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(source=SOURCES, variables=st.dictionaries(NAMES | st.text(max_size=4), JSON, max_size=6), html=st.booleans())
@example(source="{% with context=a self=a %}{{ self }}{% endwith %}", variables={"a": 1}, html=True)
@example(source="{{ a|date:'U' }}", variables={"a": "0001-01-01T00:00:00+14:00"}, html=False)
@example(source="{{ a }}", variables={"a": "\x00"}, html=False)
def test_whatever_the_template_and_the_variables_there_is_a_text_or_an_error_of_our_own(
    source: str, variables: dict[str, Any], html: bool
) -> None:
    with suppress(WrongTemplate, MissingVariable, UnsuitableVariable, TooMuch):
        text = compiled(source, html=html).render(variables, escape=html_escape if html else SLACK)
        assert type(text) is str
        assert "<class" not in text
        assert "method" not in text or "method" in source + repr(variables)


class Trap(str):
    """A text with attributes that tell when they are reached."""

    reached: list[str] = []  # noqa: RUF012

    def __getattribute__(self, name: str) -> Any:
        if name in {"a", "b", "items", "x-y"}:
            Trap.reached.append(name)
        return super().__getattribute__(name)

    a = b = items = "reached"


@settings(max_examples=300, deadline=None)
@given(path=PATHS)
def test_no_path_reaches_an_attribute(path: str) -> None:
    Trap.reached.clear()
    with pytest.raises((MissingVariable, UnsuitableVariable, WrongTemplate)):
        written(f"{{{{ t.{path} }}}}", t=Trap("x"))
    assert Trap.reached == []
