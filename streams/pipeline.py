"""Which stages are there, in which order, and what is each given? Read the composition root as a table of contents.

``compose`` wires the stages to any parts, ``stages`` to those that the settings name; ``describe``, ``flow`` and
``problems`` read the graph from the stages as they are.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from streams.adapters import templates
from streams.adapters.retriever.memory import MemoryRetriever
from streams.decisions import retention
from streams.decisions.assembly import AssemblyPolicy
from streams.decisions.attempts import CascadePolicy, Route
from streams.decisions.breaker import BreakerPolicy
from streams.decisions.budget import BudgetPolicy
from streams.decisions.dedup import DedupPolicy
from streams.decisions.flood_guard import GuardPolicy
from streams.decisions.limits import AdmissionPolicy
from streams.decisions.refinement import RefinementPolicy
from streams.decisions.retry import RetryPolicy
from streams.decisions.thinning import KeepPolicy
from streams.ports import AllClosed, Breakers, Coordinates, Originals, Provider, Retriever, Template
from streams.providers import provider_of, providers_of, routes_of
from streams.settings import Settings
from streams.stage import Record, Stage
from streams.stages import admit, assemble, breaker, bury, dedup, deliver, infer, park, refine, retrieve
from streams.stages.infer import Sleep, Within
from topics.catalog import ASSEMBLED, CALLS, CATALOG, CLOCKS, DAY_MS, FAILED, PARKED, PROMPTS, Names

LANES_AS_ONE, TIERS_AS_ONE = "assembled.<lane>", "parked.<tier>"
AS_ONE = {**dict.fromkeys(ASSEMBLED.values(), LANES_AS_ONE), **dict.fromkeys(PARKED, TIERS_AS_ONE)}


@dataclass(frozen=True, slots=True)
class Parts:
    """What the stages are given: the outside behind its ports, and the policies of the rules.

    ``provider`` answers models without a route; ``providers`` are those of the routes, by kind.
    """

    provider: Provider
    originals: Originals
    admission: AdmissionPolicy = field(default_factory=AdmissionPolicy)
    dedup: DedupPolicy = field(default_factory=DedupPolicy)
    assembly: AssemblyPolicy = field(default_factory=AssemblyPolicy)
    templates: Mapping[str, Template] = field(default_factory=dict)
    refinement: RefinementPolicy = field(default_factory=RefinementPolicy)
    providers: Mapping[str, Provider] = field(default_factory=dict)
    routes: Mapping[str, Route] = field(default_factory=dict)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    dead_key_s: float = CascadePolicy().dead_key_s
    guard: GuardPolicy = field(default_factory=GuardPolicy)
    keep: KeepPolicy = field(default_factory=KeepPolicy)
    retriever: Retriever = field(default_factory=MemoryRetriever.of)
    calls: int = 256
    within: Within = asyncio.timeout
    sleep: Sleep = asyncio.sleep
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    board: Breakers = field(default_factory=AllClosed)
    names: Names = field(default_factory=Names)


def compose(parts: Parts) -> tuple[Stage, ...]:
    """The stages in flow order."""
    answering = (
        admit.stage(_informed(parts), parts.originals),
        dedup.stage(parts.dedup),
        retrieve.stage(parts.retriever),
        assemble.stage(parts.assembly, parts.templates),
        infer.stage(
            parts.provider,
            others=parts.providers,
            routes=parts.routes,
            policy=CascadePolicy(parts.retry, parts.dead_key_s),
            board=parts.board,
            guard=parts.guard,
            keep=parts.keep,
            slots=parts.calls,
            within=parts.within,
            sleep=parts.sleep,
        ),
        refine.stage(parts.refinement),
        deliver.stage(parts.dedup),
        breaker.stage(parts.breaker),
        park.stage(),
    )
    apps = {stage.name: stage.app for stage in answering}
    return (*answering, bury.stage(parts.originals, names=parts.names, apps=apps))


def stages(
    settings: Settings,
    originals: Originals | None = None,
    retriever: Retriever | None = None,
    providers: Mapping[str, Provider] | None = None,
    board: Breakers | None = None,
) -> tuple[Stage, ...]:
    """The stages in flow order as the settings want them; without ``originals`` only to look at, not to run."""
    if originals is None:
        settings = settings.model_copy(update={"assemble": type(settings.assemble)()})  # the graph needs no files
    parts = parts_of(settings, originals or Nowhere(), providers)
    return compose(replace(parts, retriever=retriever or parts.retriever, board=board or parts.board))


def parts_of(settings: Settings, originals: Originals, providers: Mapping[str, Provider] | None = None) -> Parts:
    """Policies and adapters from the settings; ``ConfigurationError`` names a provider that is not there."""
    providers = providers or providers_of(settings)
    return Parts(
        provider=providers[settings.provider.kind],
        providers=providers,
        routes=routes_of(settings),
        dead_key_s=settings.infer.dead_key_s,
        guard=settings.infer.guard(),
        keep=settings.infer.keep(round(settings.topics.retention_d * DAY_MS)),
        originals=originals,
        admission=_admission(settings),
        dedup=settings.dedup.policy(),
        assembly=_assembly(settings),
        templates=_templates(settings),
        refinement=RefinementPolicy(**settings.refine.model_dump()),
        retry=settings.retry.policy(),
        calls=settings.infer.in_flight,
        breaker=settings.breaker.policy(),
        names=Names(settings.names.namespace, settings.names.prefix),
    )


class Nowhere:
    """Originals for a graph that is only looked at: it has none."""

    async def fetch(self, place: Coordinates) -> Record | None:
        """Always None."""
        return None


def _admission(settings: Settings) -> AdmissionPolicy:
    knobs = settings.admit.model_dump()  # one name for a knob and its setting
    kept_ms = round(settings.topics.retention_d * DAY_MS)
    derived = {
        "plain_text": bool(settings.admit.plain_text),
        "max_timeout_s": min(settings.admit.max_timeout_s, kept_ms / 1000),
        "keep_s": retention.keep_ms(kept_ms) / 1000,
    }
    return AdmissionPolicy(**{**knobs, **derived})


def _informed(parts: Parts) -> AdmissionPolicy:
    """The door knows what is put around the words: it is part of what makes requests equal."""
    versions = {name: template.version for name, template in parts.templates.items()}
    return replace(parts.admission, templates=versions, system_hash=parts.assembly.system_hash)


def door(settings: Settings) -> AdmissionPolicy:
    """What `admit` knows under these settings; for who must decide as it does."""
    versions = {name: template.version for name, template in _templates(settings).items()}
    return replace(_admission(settings), templates=versions, system_hash=_assembly(settings).system_hash)


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
    written = {FAILED, *CLOCKS, *(topic for stage in stages for topic in stage.writes)}  # the first by the engine
    written.add(CALLS)  # and this by what runs beside `infer`
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
    watchers = [stage for stage in stages if CALLS in stage.reads]
    watches = [f"each call: {CALLS} ▶ {stage.name} ▶ {stage.writes[0]}" for stage in watchers]
    keepers = [stage for stage in stages if PARKED[0] in stage.reads]
    waits = (_wrapped([f"not now: {TIERS_AS_ONE}", stage.name, LANES_AS_ONE], width) for stage in keepers)
    mourners = [stage for stage in stages if FAILED in stage.reads]
    losses = [f"any stage: {FAILED} ▶ {stage.name} ▶ {_as_one(stage.writes)[0]}" for stage in mourners]
    tables = [f"{stage.name} ║ table {stage.table}" for stage in stages if stage.table]
    return "\n".join([*_wrapped(pieces, width), *watches, *chain.from_iterable(waits), *losses, *tables])


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
    """The lanes as one word, and the tiers; everything else as it is."""
    return list(dict.fromkeys(AS_ONE.get(topic, topic) for topic in topics))


def _where(stage: Stage) -> str:
    return f"{stage.app}, table {stage.table}" if stage.table else stage.app


ROLES = {"core": ("core",), "infer": ("infer",), "park": ("park", "bury")}


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
    "door",
    "flow",
    "parts_of",
    "problems",
    "provider_of",
    "providers_of",
    "stages",
    "tables",
]
