"""The queue: the one module that knows the job engine.

The database is the truth and the queue only a nudge: nothing is lost if it forgets, because a periodic
sweep finds whatever is due.
"""
