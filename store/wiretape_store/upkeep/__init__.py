"""What a store holds, packing it better, and removing what is no longer wanted."""
