"""The pytest plugin: tests whose clients talk to replayed upstreams."""
