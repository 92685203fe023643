"""The demo: what its clients say, how they say it, and the run that records and replays them."""
