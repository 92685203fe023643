"""A store in a SQLite file: making, opening, migrating it, and what its errors mean."""
