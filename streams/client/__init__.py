"""Asking from Python: publish requests, get each answer once.

Read ``ask`` first (``Client``), then ``flight`` (what is on its way, bounded), ``door`` (what it needs of Kafka);
``batch`` runs a file of rows into a file of answers, ``outfile`` is that file and what lies beside it, ``source`` the
file of rows. Dead letters: ``letters`` (which there are, what was done with them), ``redrive`` (sending them again).
``final``: which answer of several counts.
"""

from streams.client.ask import AnswersMissing, Client, Receipt, ask_all
from streams.client.door import Door, KafkaDoor
from streams.client.flight import Bounds
from streams.decisions.questions import Row

__all__ = ["AnswersMissing", "Bounds", "Client", "Door", "KafkaDoor", "Receipt", "Row", "ask_all"]
