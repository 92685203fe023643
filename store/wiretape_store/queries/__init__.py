"""Asking a store: SQL with views and functions, and searching payloads."""
