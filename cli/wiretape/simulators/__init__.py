"""Stand-ins for the upstreams: seeded servers that the demo and the tests record against."""
