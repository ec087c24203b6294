"""Sessions in one Redis or Valkey: plans of what is sent, the scripts, and two colours that carry them."""
