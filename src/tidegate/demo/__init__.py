"""The demo: a year of a shop's baskets, from the first INSERT to recommendations that have learned."""
