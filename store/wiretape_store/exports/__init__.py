"""Other people's formats: writing recordings for their tools, reading what those tools saved. See docs/formats.md."""
