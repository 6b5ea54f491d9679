"""The command ``pgn-wgpu``, which ``python -m pgn_wgpu`` starts too."""

import sys


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    from . import _core

    _core.command([sys.executable, "-m", "pgn_wgpu"], ["pgn-wgpu", *sys.argv[1:]])


if __name__ == "__main__":
    main()
