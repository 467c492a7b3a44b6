"""Entry point of `unsee` and of `python -m unsee`: imports nothing before an interruption has a place to go."""

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    try:
        from .cli.app import main as run
    except KeyboardInterrupt:
        print("unsee: interrupted before anything began", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
    run()


if __name__ == "__main__":
    main()
