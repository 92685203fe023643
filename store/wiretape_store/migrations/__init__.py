"""The steps from each schema version to the next, one module each; imported when a store needs them."""
