"""Prompts as an event stream: read a prompt from a topic, write its answer to another, lose nothing in between.

Reading order: ``stage`` and ``ports`` (what a stage is, what it may ask for), ``stages`` (the flow), ``pipeline`` (who
is given what), ``decisions`` (the rules), ``engine`` (the loop that loses nothing), ``client`` and ``testing``.
"""
