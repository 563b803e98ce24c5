"""Light curves in, tensors out: alert packets, npz folders, what a network's inputs are."""
