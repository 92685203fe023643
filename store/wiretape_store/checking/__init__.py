"""Whether a store is whole: its file, its facts, every session."""
