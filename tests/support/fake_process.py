"""A child process without a process: ends when told to, or when it is terminated or killed."""


class FakeProcess:
    """Counts what was done to it. ``stubborn`` ignores terminate, as a hung worker does."""

    def __init__(self, pid, slot, apps, stubborn=False):
        self.pid, self.slot, self.apps, self.stubborn = pid, slot, apps, stubborn
        self.code, self.reaped, self.signals = None, False, []

    def ends(self, code):
        self.code = code

    def poll(self):
        self.reaped = self.code is not None
        return self.code

    def terminate(self):
        self.signals.append("TERM")
        if not self.stubborn:
            self.code = -15 if self.code is None else self.code

    def kill(self):
        self.signals.append("KILL")
        self.code = -9 if self.code is None else self.code


class FakeLauncher:
    """Starts ``FakeProcess``es, keeps them in order, and refuses a slot whose old process was not reaped."""

    def __init__(self, stubborn=False):
        self.started, self.stubborn = [], stubborn

    def __call__(self, slot, apps):
        unreaped = [p for p in self.started if p.slot == slot and not p.reaped]
        assert not unreaped, f"slot {slot} started twice"
        self.started.append(FakeProcess(1000 + len(self.started), slot, apps, self.stubborn))
        return self.started[-1]
