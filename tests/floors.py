#!/usr/bin/env python3
"""Checks that each room includes only what its room(...) line in CMakeLists.txt names. Exit status 1 when one does not."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).parents[1]
OWNERS = {"uv.h": {"base"}, "jansson.h": {"http"}, "lmdb.h": {"store"}, "llhttp.h": {"wire"}, "curl/": {"upstream"},
          "openssl/": {"token", "event", "caller", "idempotency", "server", "upstream"}}


def rooms():
    for line in re.findall(r"^room\(([^)]*)\)", (root / "CMakeLists.txt").read_text(), re.M):
        words = line.split(" LIBS ")[0].split()
        yield words[0], set(words[1:])


def breaks():
    known = dict(rooms())
    below = set()
    for room, named in known.items():
        for upper in named - below:
            yield f"CMakeLists.txt: {room} names {upper}, which does not stand below it"
        below.add(room)
    for path in sorted((root / "gateway").glob("*/*.[ch]")):
        room = path.parent.name
        if room not in known:
            yield f"{path.relative_to(root)}: {room} has no room(...) line"
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            place = f"{path.relative_to(root)}:{number}"
            if match := re.match(r'\s*#\s*include\s+"([a-z_]+)/', line):
                if match[1] not in known[room] | {room}:
                    yield f"{place}: {room} includes {match[1]}"
            for library, owners in OWNERS.items():
                if re.match(rf"\s*#\s*include\s+<{re.escape(library)}", line) and room not in owners:
                    yield f"{place}: {library} belongs to {', '.join(sorted(owners))}"


found = list(breaks())
print("\n".join(found) or "every room keeps to its floor")
sys.exit(bool(found))
