"""Backups and migrations against a real PostgreSQL that lives and dies with these tests."""
