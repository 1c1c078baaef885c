"""Where commands run: bubblewrap, else sandlock, else not at all.

`pick` chooses and probes; `report` says what works here; `interpreter_paths` says which
directories a Python needs to be given as `readable`. Evaluations that come with an image run in
`container`, which nothing chooses by itself.
"""

from tools.sandbox.cancelling import Cancelling
from tools.sandbox.probe import Mode, TierStatus, pick, report
from tools.sandbox.pythons import interpreter_paths

__all__ = ["Cancelling", "Mode", "TierStatus", "interpreter_paths", "pick", "report"]
