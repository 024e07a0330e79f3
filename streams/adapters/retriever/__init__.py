"""Where passages come from: ``tantivy`` in a worker, ``memory`` in tests; one contract for both."""
