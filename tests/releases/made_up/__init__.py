"""Migrations that note by which limit they wait, for test_locks.py alone."""
