"""The rules: what to do, decided from values alone. No clock, no input or output, no framework; shells act on it.

Each rule is a frozen policy, frozen outcomes and one total function; import the module, so that calls read
``admission.decide(…)``. The door: ``admission`` (what becomes of a record; ``limits`` says what is wrong with it),
``identity`` (same request, same content), ``answers`` (which answer an outcome becomes). The flow: ``assembly`` (what
a provider is sent; ``budget``: how much of it), ``failures`` (what is written when a stage gives up), ``burial`` (what
a dead letter holds), ``redelivery`` and ``rows`` (what a table remembers). The loop: ``ack_order``, ``continuity``,
``stall``, ``membership``, ``offsets``. Supervisor: ``restart``. Asking:
``questions`` (rows and their ids), ``batch_lines`` (what a file asks for), ``totals`` (how it went). Dead letters:
``letters`` (what they died of), ``redrive`` (which are sent again; ``edits``: changed how, ``notes``: none twice),
``lineage`` (whether a prompt is one of them).
"""
