"""A drill without processes: workers, provider and broker that only note down what was done to them."""

import asyncio
import itertools

from streams.drill.crew import Crew
from streams.drill.drills import DRILLS
from streams.drill.ledger import Entry
from streams.drill.load import Load
from streams.drill.site import Site
from tests.support.fake_cluster import FakeKafka
from tests.support.fake_process import FakeProcess


class FakeWorker(FakeProcess):
    """A worker; ``stubborn`` does not end when it is asked."""

    def send_signal(self, number):
        self.signals.append(number)


class FakeHands:
    """Starts ``FakeWorker``s and keeps them in order; ``unready``: how often it says that they are not ready."""

    def __init__(self, stubborn=False, unready=0):
        self.started, self.stubborn, self.unready, self.lines = [], stubborn, unready, []
        self.commands, self.runs, self.code = [], [], 0

    def __call__(self, slot, main):
        self.started.append(FakeWorker(1000 + len(self.started), slot, main, self.stubborn))
        return self.started[-1]

    def run(self, *words):
        self.commands.append(words)
        process = FakeWorker(2000 + len(self.commands), 99, words)
        process.code = self.code
        self.runs.append(process)
        return process

    async def ready(self, slots):
        self.unready -= 1
        return self.unready < 0

    def told(self):
        return self.lines

    def complaint(self):
        return "read the log"


class FakeServed:
    """A provider that only notes what it was told to play; ``seen`` is its ledger."""

    url, good = "http://127.0.0.1:1", ("ok",)

    def __init__(self):
        self.played, self.seen, self.ends = [], [], 0

    async def start(self):
        return self

    async def play(self, *words):
        self.played.append(words)

    def entries(self):
        return self.seen

    def calls(self, *workers):
        """A call runs in each of these workers."""
        self.seen = [
            Entry("start", f"k{number}", "ok", f"n{number}", by=worker) for number, worker in enumerate(workers)
        ]
        return self

    def end(self):
        self.ends += 1


class FakeBroker:
    """Notes what was done to it."""

    bootstrap_servers = "127.0.0.1:19092"

    def __init__(self):
        self.done = []

    def __getattr__(self, word):
        return lambda: self.done.append(word)


def crew(hands=None, slots=(0, 1)):
    moments = itertools.count(1)
    made = Crew(hands or FakeHands(), slots, now=lambda: float(next(moments)))
    made.start_all()
    return made


def site(drill=None, kafka=None, **parts):
    """A site of fakes; its publisher and its door are one cluster in memory."""
    drill, kafka, hands = drill or DRILLS["crash"], kafka or FakeKafka(), parts.pop("hands", FakeHands())
    made = {
        "broker": FakeBroker(),
        "provider": FakeServed().calls("worker-0"),
        "hands": hands,
        "crew": crew(hands, range(drill.size.workers)),
        "load": Load(kafka, drill.asked, drill.rate),
        "publisher": kafka,
    }
    return Site(drill, **{**made, **parts})


async def soon(work, seconds=0.0):
    """The work as a task that has had that much time."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(seconds)  # why: virtual time
    return task
