"""Entry point of `unsee` and of `python -m unsee`: imports nothing before an interruption has a place to go."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from .cli.app import main as run
    except KeyboardInterrupt:
        from .errors import ExitCode

        print("unsee: interrupted before anything began", file=sys.stderr)
        raise SystemExit(ExitCode.INTERRUPTED) from None
    run()


if __name__ == "__main__":
    main()
