# Copyright: The Gradual project
# BSD-2-Clause (see the file LICENSE)
"""Takes a running application through the states of a rollout, as the collection does on a host.

    python test/wait.py FLAGS_FILE METRICS_URL

Writes each state with the collection's own writer and waits until every process evaluates it; prints the states, one a
line. Fails with the collection's own sentence if one of them is not seen.
"""

from __future__ import annotations

import sys
import time

from ansible_collections.gradual.rollout.plugins.module_utils.flags import definition, file

FLAG = "search"


def states() -> list[definition.Wanted]:
    soon = int(time.time()) + 4
    return [
        definition.Wanted(FLAG, 0, labels=(25, 50)),
        definition.Wanted(FLAG, 0, baking=25, expiry=soon + 600),
        definition.Wanted(FLAG, 25),
        definition.Wanted(FLAG, 25, baking=50, expiry=soon),
        definition.Wanted(FLAG, 100),
        definition.Wanted(FLAG, 0),
    ]


def main(path: str, url: str) -> None:
    for wanted in states():
        current, _text, _wrong = file.read(path)
        document = definition.plan(current, [wanted], 1).document
        file.write(path, definition.render(document))
        for each in file.wait(url, document, [wanted], 10, path):
            print(wanted.certified, wanted.baking, each["revision"], each["share"], flush=True)
        if wanted.expiry and wanted.expiry < time.time() + 60:
            time.sleep(max(0.0, wanted.expiry - time.time()))
            for each in file.wait(url, document, [wanted], 10, path):
                print("expired", each["revision"], each["share"], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
