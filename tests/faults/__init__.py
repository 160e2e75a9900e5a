"""Faults against the real command line for as long as one likes: `python -m tests.faults --minutes N`.

Whatever is killed, damaged, full or hostile: the suite ends with the weights, the scores and the report of a run that
nobody disturbed, everything damaged is named, and nobody sees a traceback.
"""
