"""Free conversation: a loop of model, tools and approvals over one repository.

records.py -> conversation.py (what was said, on disk) -> prompt.py (what the model is sent)
turn.py (the loop) -> tools/ (what it may do) -> scratch.py (where it does it)
"""
