"""What `resumable` and `python -m resumable` start: the command line, or one sentence on how to get it."""

from __future__ import annotations

import sys

_EXTRA = frozenset({"click", "rich", "typer"})


def main() -> int:
    """
    Run the command line.

    Returns:
        The exit code; 1 where the `cli` extra is not installed.
    """
    try:
        from resumable.cli import main as run  # noqa: PLC0415  # Reason: it needs an extra that may be missing
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        sys.stderr.write("resumable: the command line is an extra: pip install 'resumable-anthropic[cli]'\n")
        return 1
    return run()


if __name__ == "__main__":
    sys.exit(main())
