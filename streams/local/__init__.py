"""A whole installation on one machine: the embedded broker and the workers behind ``streams up``.

Reading order: ``jars`` (what the broker is made of), ``java`` (how it is called), ``storage`` and ``training`` (what is
prepared once), ``runtime`` (all of that under one lock), ``child`` over ``launcher`` (one JVM as a child process),
``broker_settings``, ``secure`` and ``ports`` (what it is told), ``ownership`` (one broker a directory), ``kafka`` (the
broker), ``ready`` (where others find it), ``supervisor`` (the workers).
"""
