"""# Stage: assemble

Responsibility: makes exactly the messages that the provider is sent, and puts them into the topic of their lane.
Guarantees:
    what needs nothing is sent as it was written:
    tests/unit/streams/stages/test_assemble.py::test_rendered_without_a_template_is_what_was_written
    each lane has its own topic: tests/unit/streams/stages/test_assemble.py::test_topic_of_each_lane_is_its_own
    never above the budget: tests/property/test_assembly.py::test_assembly_under_any_budget_stays_within_it
    passages never speak as the system: tests/property/test_assembly.py::test_passages_never_enter_the_system_role
NOT Responsible For: finding passages (retrieve), refusing unknown templates (admit), counting what was billed.
"""

from collections.abc import Mapping
from typing import Any

from streams.decisions import assembly
from streams.decisions.assembly import Asked, Assembly, AssemblyPolicy, Render
from streams.ports import Template
from streams.stage import Output, Outputs, Record, Scope, Stage
from topics import wire
from topics.catalog import ASSEMBLED, RETRIEVED
from topics.errors import TemplateFailed
from topics.messages import Assembled, Retrieved, grown

NAME = "assemble"
PLACES = frozenset({"passages", "context"})  # a template that mentions one of them says itself where passages stand


def stage(policy: AssemblyPolicy | None = None, templates: Mapping[str, Template] | None = None) -> Stage:
    """The stage as data, under a policy, with the templates by name."""
    rules, known = policy or AssemblyPolicy(), templates or {}
    system_hash = rules.system_hash

    def handle(record: Record, scope: Scope) -> Outputs:
        """Renders one request for its model."""
        message = wire.decode(record.value, Retrieved)
        template = _template(message, known)
        made = assembly.assemble(_asked(message), rules, None if template is None else _render(message, template))
        ready = grown(
            message,
            Assembled,
            rendered=made.rendered,
            template_hash=None if template is None else template.version,
            system_hash=system_hash if made.system else None,
            ratio_version=rules.budget.ratio_version if made.limited else None,
            cut=made.cut,
            input_bytes=made.sent_bytes,
        )
        word = _decision(message, made, template)
        return (Output(ASSEMBLED[message.lane], record.key, wire.encode(ready), word, record.partition),)

    return Stage(NAME, "core", reads=(RETRIEVED,), writes=tuple(ASSEMBLED.values()), handle=handle)


def _asked(message: Retrieved) -> Asked:
    work = message.work
    return Asked(work.messages, message.passages, message.snapshot, work.model, work.params)


def _template(message: Retrieved, known: Mapping[str, Template]) -> Template | None:
    name = message.work.template
    if name is None:
        return None
    if name not in known:
        raise TemplateFailed(name, None, "it was there when the request was admitted, and is not any more")
    return known[name]


def _render(message: Retrieved, template: Template) -> Render:
    work = message.work
    fixed: dict[str, Any] = {
        "prompt": assembly.last_text(work.messages),
        "messages": work.messages,
        "metadata": message.metadata,
        "model": work.model,
        "tenant": message.tenant,
    }

    def render(passages: assembly.Passages) -> str:
        context = assembly.block(passages, message.snapshot)
        text = template.render({**fixed, "passages": passages, "context": context})
        return text if not context or template.reads & PLACES else f"{context}\n\n{text}"

    return render


def _decision(message: Retrieved, made: Assembly, template: Template | None) -> str:
    if made.cut:
        return "cut"
    if template is not None:
        return "rendered" if template.version == message.template_version else "rendered-anew"
    return "with-passages" if message.passages else "with-system" if made.system else "as-written"
