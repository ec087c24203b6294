"""The engine: bytes and facts in, events and actions out; it never waits, reads a clock or does I/O."""
