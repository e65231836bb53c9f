"""Searches images for a person: `python -m jreid.search VERB ...`.

    python -m jreid.search index IMAGES --gallery gallery --workdir runs/demo
    python -m jreid.search query IMAGE --gallery gallery -k 10

A gallery is a folder, a collection of Milvus (http://host:19530/name) or a file of
Milvus Lite (its name ends in .db). It remembers the run that it was made with.
"""

import importlib
import sys
from typing import Any

from jreid import stopping

if __name__ == "__main__":
    stopping.end_quietly()  # while all else is imported

from jreid import command_line, ending  # noqa: E402

PROGRAM = "python -m jreid.search"
VERBS = {
    "index": "embed a folder's images, those that are new or have changed",
    "query": "find the images that show the person of an image",
    "remove": "delete images from a gallery, with all that is stored of them",
    "calibrate": "fit the probability that two images show one person",
    "info": "what a gallery holds, and what it was made with",
    "serve": "search in the browser",
}


def program(arguments: list[str]) -> int:
    """Exit codes: 0 done, also if nobody was found; 130 or so stopped."""
    verb, *rest = arguments or [""]
    if verb == "serve":
        from jreid.serve.__main__ import program as serve

        return serve(rest)
    if verb in VERBS:
        given = parse(arguments)
        importlib.import_module(f"jreid.search.verbs.{verb}").run(given)
        return 0
    told = f"usage: {PROGRAM} VERB [OPTIONS]\n\n" + "".join(
        f"  {name:9} {purpose}\n" for name, purpose in VERBS.items()
    )
    if verb in ("-h", "--help"):
        print(f"{told}\n{PROGRAM} VERB --help lists its options")
        return 0
    told = f"there is no verb {verb!r}" if verb else "no verb is given"
    raise ValueError(f"{told}; allowed are {', '.join(VERBS)}")


def parse(arguments: list[str]) -> Any:
    """The options of a verb, which comes first."""
    verb, *rest = arguments
    module = importlib.import_module(f"jreid.search.verbs.{verb}")
    text = module.__doc__ or ""
    return command_line.parse(module.Options, f"{PROGRAM} {verb}", rest, text)


def main(arguments: list[str]) -> int:
    """The exit code; an error becomes one line and code 2."""
    return ending.exit_code(program, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
