"""The only place that knows Faust and aiokafka: one loop for all stages, made so that a crash repeats and never loses.

Reading order: ``worker`` (a process), ``app`` (a consumer group), ``transport`` (from Kafka), ``intake`` (take, check),
``loop`` (call, send, acknowledge), ``delivery`` and ``tables`` (to Kafka), ``acks``, ``calls``, ``lease``, ``scope``,
``slots``, ``buffers``, ``exit``; for commands and clients: ``cluster``, ``connect``, ``topics``, ``lag``, ``reader``,
``publisher``, ``follow``, ``originals``.

What it was put to before anything was built on it: ``worker``.
"""
