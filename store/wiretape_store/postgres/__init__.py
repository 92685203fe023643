"""A store in a PostgreSQL database: making, opening, filling it, and what its errors mean."""
