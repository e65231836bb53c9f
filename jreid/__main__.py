"""The console command `jreid`: `jreid train ...` is `python -m jreid.train ...`."""

import runpy
import sys

PROGRAMS = {
    "train": "train a system, or continue a run",
    "evaluate": "score runs or features, or compare scores",
    "embed": "embed images with a trained run",
    "export": "write a run as a file that needs no jreid",
    "search": "find a person in a folder of images",
    "prepare": "write a data set as few large files",
    "serve": "search a gallery in the browser",
    "doctor": "say what is missing, and the command that mends it",
    "report": "write what is known of runs into one HTML file",
    "explain": "draw which regions make two images similar",
}


def main(arguments: list[str] | None = None) -> int:
    """Runs the program that the first word names; returns its exit code."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if name in PROGRAMS:
        return _run(name, rest)
    if name in ("", "-h", "--help"):
        print("usage: jreid PROGRAM [OPTIONS]\n")
        for program, purpose in PROGRAMS.items():
            print(f"  {program:9} {purpose}")
        print("\njreid PROGRAM --help lists its options")
        return 0 if name else 2
    print(
        f"error: there is no program {name!r}; allowed are {', '.join(PROGRAMS)}",
        file=sys.stderr,
    )
    return 2


def _run(name: str, arguments: list[str]) -> int:
    """As `python -m` does, so that a program's help waits for nothing either."""
    sys.argv = [f"jreid {name}", *arguments]
    try:
        runpy.run_module(f"jreid.{name}", run_name="__main__", alter_sys=True)
    except SystemExit as stopped:
        return (
            stopped.code if isinstance(stopped.code, int) else int(bool(stopped.code))
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
