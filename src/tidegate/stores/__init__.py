"""Stores of Feast on PostgreSQL, each usable from anybody's feature_store.yaml."""
