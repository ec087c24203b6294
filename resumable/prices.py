"""
Prices and books: what a message used and cost, from a table with a date.

`resumable.report(stream).books()` gives `Books`; pass it a table of your own where the list prices are not yours.
"""

from resumable._core.books import Books, Line, Spared
from resumable._core.prices import BATCH_FACTOR, PRICES, PRICES_AS_OF, Price, Tokens

__all__ = ("BATCH_FACTOR", "PRICES", "PRICES_AS_OF", "Books", "Line", "Price", "Spared", "Tokens")
