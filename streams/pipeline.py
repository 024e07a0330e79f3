"""Which stages are there, in which order, and what is each given? Read the composition root as a table of contents.

``compose`` wires the stages to any parts, ``stages`` to those that the settings name; ``describe``, ``flow`` and
``problems`` read the graph from the stages as they are.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from streams.adapters import templates
from streams.adapters.providers import anthropic, openai
from streams.adapters.providers.echo import EchoPolicy, EchoProvider
from streams.adapters.providers.line import LinePolicy
from streams.adapters.providers.remote import Models, Price
from streams.adapters.retriever.memory import MemoryRetriever
from streams.decisions.assembly import AssemblyPolicy
from streams.decisions.budget import BudgetPolicy
from streams.decisions.dedup import DedupPolicy
from streams.decisions.limits import AdmissionPolicy
from streams.decisions.refinement import RefinementPolicy
from streams.ports import Originals, Provider, Retriever, Template
from streams.settings import Settings
from streams.settings.sections import Remote
from streams.stage import Record, Stage
from streams.stages import admit, assemble, bury, dedup, deliver, infer, refine, retrieve
from streams.stages.infer import Within
from topics.catalog import ASSEMBLED, CATALOG, FAILED, PROMPTS, TICKS, Names
from topics.errors import ConfigurationError
from topics.messages import Origin

LANES_AS_ONE = "assembled.<lane>"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the stages are given: the outside behind its ports, and the policies of the rules."""

    provider: Provider
    originals: Originals
    admission: AdmissionPolicy = field(default_factory=AdmissionPolicy)
    dedup: DedupPolicy = field(default_factory=DedupPolicy)
    assembly: AssemblyPolicy = field(default_factory=AssemblyPolicy)
    templates: Mapping[str, Template] = field(default_factory=dict)
    refinement: RefinementPolicy = field(default_factory=RefinementPolicy)
    retriever: Retriever = field(default_factory=MemoryRetriever.of)
    calls: int = 256
    within: Within = asyncio.timeout
    names: Names = field(default_factory=Names)


def compose(parts: Parts) -> tuple[Stage, ...]:
    """The stages in flow order."""
    answering = (
        admit.stage(_informed(parts)),
        dedup.stage(parts.dedup),
        retrieve.stage(parts.retriever),
        assemble.stage(parts.assembly, parts.templates),
        infer.stage(parts.provider, slots=parts.calls, within=parts.within),
        refine.stage(parts.refinement),
        deliver.stage(parts.dedup),
    )
    apps = {stage.name: stage.app for stage in answering}
    return (*answering, bury.stage(parts.originals, names=parts.names, apps=apps))


def stages(
    settings: Settings,
    originals: Originals | None = None,
    retriever: Retriever | None = None,
    provider: Provider | None = None,
) -> tuple[Stage, ...]:
    """The stages in flow order as the settings want them; without ``originals`` only to look at, not to run."""
    if originals is None:
        settings = settings.model_copy(update={"assemble": type(settings.assemble)()})  # the graph needs no files
    parts = parts_of(settings, originals or Nowhere())
    parts = replace(parts, retriever=retriever or parts.retriever, provider=provider or parts.provider)
    return compose(parts)


def parts_of(settings: Settings, originals: Originals) -> Parts:
    """Policies and adapters from the settings; ``ConfigurationError`` names a provider that is not there."""
    return Parts(
        provider=provider_of(settings),
        originals=originals,
        admission=_admission(settings),
        dedup=settings.dedup.policy(),
        assembly=_assembly(settings),
        templates=_templates(settings),
        refinement=RefinementPolicy(**settings.refine.model_dump()),
        calls=settings.infer.in_flight,
        names=Names(settings.names.namespace, settings.names.prefix),
    )


class Nowhere:
    """Originals for a graph that is only looked at: it has none."""

    async def fetch(self, origin: Origin) -> Record | None:
        """Always None."""
        return None


def provider_of(settings: Settings) -> Provider:
    """Who answers, as the settings say; its connections open with the first call."""
    match settings.provider.kind:
        case "echo":
            return EchoProvider(EchoPolicy(**settings.provider.echo.model_dump()))
        case "openai":
            section = settings.provider.openai
            return openai.provider(_line(settings, section, openai.headers), _models(section))
        case "anthropic":
            other = settings.provider.anthropic
            line = _line(settings, other, anthropic.headers)
            return anthropic.provider(line, _models(other), other.max_tokens)
        case kind:
            raise ConfigurationError("provider.kind", kind, "there are `echo`, `openai` and `anthropic`")


def _line(settings: Settings, section: Remote, headers: Callable[[str | None], dict[str, str]]) -> LinePolicy:
    knobs = section.model_dump(include={"connect_s", "first_byte_s", "idle_s", "total_s", "max_bytes"})
    key = section.api_key.get_secret_value() if section.api_key else None
    pool = section.pool or settings.infer.in_flight
    return LinePolicy(section.base_url or "", headers(key), pool=pool, **knobs)


def _models(section: Remote) -> Models:
    prices = {model: Price(price.input, price.output) for model, price in section.prices.items()}
    return Models(section.model, section.models, prices)


def _admission(settings: Settings) -> AdmissionPolicy:
    knobs = settings.admit.model_dump()  # one name for a knob and its setting
    return AdmissionPolicy(**{**knobs, "plain_text": bool(settings.admit.plain_text)})


def _informed(parts: Parts) -> AdmissionPolicy:
    """The door knows what is put around the words: it is part of what makes requests equal."""
    versions = {name: template.version for name, template in parts.templates.items()}
    return replace(parts.admission, templates=versions, system_hash=parts.assembly.system_hash)


def _assembly(settings: Settings) -> AssemblyPolicy:
    asked = settings.assemble
    system = asked.system if asked.system_file is None else templates.system_text(asked.system_file)
    return AssemblyPolicy(system, BudgetPolicy(asked.bytes_per_token, asked.ratio_version, asked.max_input_tokens))


def _templates(settings: Settings) -> Mapping[str, Template]:
    asked = settings.assemble
    return templates.load(asked.templates_dir, templates.Bounds(asked.max_rendered_bytes, asked.max_steps))


# The graph, read from the stages


def problems(stages: Sequence[Stage]) -> tuple[str, ...]:
    """What is wrong with a graph, one sentence each: unknown topics, topics nobody writes, names used twice."""
    written = {FAILED, TICKS, *(topic for stage in stages for topic in stage.writes)}  # the engine writes these two
    names = [stage.name for stage in stages]
    return (
        *(f"{stage.name} touches '{topic}', which is not in the catalog" for stage, topic in _unknown(stages)),
        *(f"{stage.name} reads '{topic}', which nobody writes" for stage, topic in _orphans(stages, written)),
        *(f"the name {name} is used twice" for name in dict.fromkeys(names) if names.count(name) > 1),
    )


def _unknown(stages: Sequence[Stage]) -> Iterable[tuple[Stage, str]]:
    return ((stage, topic) for stage in stages for topic in (*stage.reads, *stage.writes) if topic not in CATALOG)


def _orphans(stages: Sequence[Stage], written: set[str]) -> Iterable[tuple[Stage, str]]:
    known = ((stage, topic) for stage in stages for topic in stage.reads if topic in CATALOG)
    return ((stage, topic) for stage, topic in known if topic not in written and not CATALOG[topic].public)


def describe(stages: Sequence[Stage]) -> str:
    """One line a stage: what it reads, its name and app, what it writes, its table."""
    reads = [", ".join(_as_one(stage.reads)) for stage in stages]
    width, name_width = max(map(len, reads), default=0), max((len(stage.name) for stage in stages), default=0)
    lines = (
        f"{read:<{width}} ▶ {stage.name:<{name_width}} ▶ {', '.join(_as_one(stage.writes))}  ({_where(stage)})"
        for read, stage in zip(reads, stages, strict=True)
    )
    return "\n".join(lines)


def flow(stages: Sequence[Stage], width: int = 100) -> str:
    """The way of a request through the stages as a picture in text, lines of at most ``width`` characters."""
    pieces, topic = [PROMPTS], PROMPTS
    rest = list(stages)
    while found := next((stage for stage in rest if topic in _as_one(stage.reads)), None):
        topic = _as_one(found.writes)[0]
        pieces += [found.name, topic]
        rest.remove(found)
    mourners = [stage for stage in stages if FAILED in stage.reads]
    losses = [f"any stage: {FAILED} ▶ {stage.name} ▶ {_as_one(stage.writes)[0]}" for stage in mourners]
    tables = [f"{stage.name} ║ table {stage.table}" for stage in stages if stage.table]
    return "\n".join([*_wrapped(pieces, width), *losses, *tables])


def _wrapped(pieces: Sequence[str], width: int) -> Iterable[str]:
    line = pieces[0]
    for piece in pieces[1:]:
        longer = f"{line} ▶ {piece}"
        if len(longer) > width:
            yield line
            longer = f"  ▶ {piece}"
        line = longer
    yield line


def _as_one(topics: Iterable[str]) -> list[str]:
    """The four lanes as one word, everything else as it is."""
    lanes = set(ASSEMBLED.values())
    return list(dict.fromkeys(LANES_AS_ONE if topic in lanes else topic for topic in topics))


def _where(stage: Stage) -> str:
    return f"{stage.app}, table {stage.table}" if stage.table else stage.app


ROLES = {"core": ("core",), "infer": ("infer",), "park": ("bury",)}


def tables(stages: Sequence[Stage]) -> dict[str, tuple[str, ...]]:
    """The tables of each app, by name."""
    named = sorted({(stage.app, stage.table) for stage in stages if stage.table})
    return {app: tuple(table for owner, table in named if owner == app) for app, _ in named}


__all__ = [
    "ROLES",
    "Nowhere",
    "Parts",
    "compose",
    "describe",
    "flow",
    "parts_of",
    "problems",
    "provider_of",
    "stages",
    "tables",
]
