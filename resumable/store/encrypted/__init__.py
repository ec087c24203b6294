"""A store whose content is encrypted, around any other: keys, envelopes, and what of a session goes into them."""
