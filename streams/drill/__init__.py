"""What is played to see how the pipeline bears it?

Read ``script`` (what a provider does, call by call), ``dialects`` (how it says it), ``ledger`` (what it notes
down), then ``provider`` (the server).
"""
