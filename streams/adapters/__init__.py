"""The outside behind the ports of ``streams.ports``, and what stands in for it in memory. Read ``clock`` first."""
