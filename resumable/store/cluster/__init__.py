"""Sessions behind a Cluster or Sentinels: where keys are, and how flights reach them."""
