"""One file a question: `python -m benchmarks.ingest` asks what tidegate costs a writer.

Each starts a server of its own, compares two things interleaved in one run (a loaded machine slows both),
and prints one JSON line last. `python -m benchmarks` asks them all.
"""
