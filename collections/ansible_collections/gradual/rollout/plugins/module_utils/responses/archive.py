# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""A program in one file: the modules of this collection that it imports, as an archive that Python runs (PEP 441)."""

from __future__ import annotations

import importlib
import io
import sys
import zipfile

NAMESPACE = "ansible_collections"
# The same modules are the same bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)
MAIN = "import sys\nfrom {name} import main\nmain(sys.argv[1:])\n"


def build(name: str) -> bytes:
    """The archive whose `main(argv)` is that of the module `name`.

    It holds what has been imported of the collection when this is called, wherever Python has it from: in a module that
    Ansible runs, from the archive in which Ansible sends it to a host."""
    importlib.import_module(name)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in sorted({**_sources(), "__main__.py": MAIN.format(name=name)}.items()):
            entry = zipfile.ZipInfo(path, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, text)
    return made.getvalue()


def _sources() -> dict[str, str]:
    """{path in the archive: source} of the collection's modules that are imported, and of the packages above them."""
    found: dict[str, str] = {}
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] != NAMESPACE or ".plugins.module_utils" not in name:
            continue
        loader = getattr(getattr(module, "__spec__", None), "loader", None)
        if loader is None:
            continue
        path = name.replace(".", "/")
        for number in range(1, path.count("/") + 1):
            found.setdefault("/".join(path.split("/")[:number]) + "/__init__.py", "")
        found[path + ("/__init__.py" if hasattr(module, "__path__") else ".py")] = loader.get_source(name) or ""
    return found
