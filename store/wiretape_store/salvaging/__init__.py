"""Saving what is left of a damaged store into a new one."""
