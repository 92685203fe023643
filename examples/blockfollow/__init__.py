"""A block follower for an Ontology node."""

from blockfollow.follower import Block, BlockFollower, ChainError, NodeError, Transfer

__all__ = ["Block", "BlockFollower", "ChainError", "NodeError", "Transfer"]
