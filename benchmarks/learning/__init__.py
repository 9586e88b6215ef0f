"""Which method learns best, window after window, on real data."""
