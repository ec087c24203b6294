"""Sessions in memory: the executable specification of a store, and the store that every process has."""
