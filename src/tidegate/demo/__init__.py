"""The demo: a year of a real shop's baskets, from the first INSERT to recommendations that have learned from the last."""
