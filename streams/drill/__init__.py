"""What is played to see how the pipeline bears it, and what came of it?

Read ``drills`` (what there is), ``plan`` (which faults, when), ``faults`` (what each does), ``run`` (a drill from its
first prompt to its verdict) over a ``site``: ``crew`` and ``hands`` (the workers), ``load`` (the client), ``served``
(the provider as a process). ``account`` (calls), ``probing`` (breakers), ``reach`` (what came to pass) and ``outcome``
(the verdict) tell what it came to. The provider itself: ``script`` (what it does, call by call), ``dialects`` (how it
says it), ``ledger`` (what it notes down), ``provider`` (the server).
"""
