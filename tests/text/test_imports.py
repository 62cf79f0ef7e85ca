"""No import cycle between files or between packages, and nothing that runs on a host imports the controller's code.

Each package says in one sentence what it holds.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

COLLECTION = Path(__file__).resolve().parents[2] / "collections/ansible_collections/gradual/rollout"
NAMESPACE = "ansible_collections.gradual.rollout."
PACKAGES = ("plugins/module_utils", "plugins/plugin_utils")

Graph = Mapping[str, frozenset[str]]


def imports(root: Path) -> dict[str, frozenset[str]]:
    """{file: the files below root/plugins that it imports}, as dotted names without the collection's own."""
    files = {_dotted(path, root): path for path in sorted((root / "plugins").rglob("*.py"))}
    return {
        name: frozenset(
            found
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            for found in _imported(node, name if path.name == "__init__.py" else name.rpartition(".")[0], files)
        )
        - {name}
        for name, path in files.items()
    }


def _dotted(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(node: ast.AST, package: str, files: Mapping[str, Path]) -> Iterable[str]:
    """The files that an import statement in `package` names; `from package import file` names the file."""
    if isinstance(node, ast.Import):
        names = [alias.name.removeprefix(NAMESPACE) for alias in node.names if alias.name.startswith(NAMESPACE)]
        return [name for name in names if name in files]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        above = package.split(".")[: len(package.split(".")) - (node.level - 1)]
        base = ".".join([*above, base] if base else above)
    elif not base.startswith(NAMESPACE):
        return []
    base = base.removeprefix(NAMESPACE)
    inner = [f"{base}.{alias.name}" for alias in node.names]
    return [*(name for name in inner if name in files), *([base] if base in files and set(inner) - set(files) else [])]


def by_package(graph: Graph, packages: Iterable[str]) -> dict[str, frozenset[str]]:
    """The same between packages: {package: the packages that its files import}."""
    known = sorted(packages, key=len, reverse=True)

    def package_of(name: str) -> str | None:
        return next((package for package in known if name == package or name.startswith(f"{package}.")), None)

    result: dict[str, set[str]] = {}
    for name, wanted in graph.items():
        package = package_of(name)
        if package is not None:
            others = {found for other in wanted if (found := package_of(other)) is not None} - {package}
            result.setdefault(package, set()).update(others)
    return {package: frozenset(others) for package, others in result.items()}


def cycle(graph: Graph) -> list[str]:
    """One way through the graph that comes back to where it began: [a, b, a]; [] when there is none."""
    done: set[str] = set()

    def follow(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph.get(name, ())):
            if found := follow(other, [*way, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := follow(name, []))), [])


def from_hosts_to_the_controller(graph: Graph) -> list[tuple[str, str]]:
    """(file that runs on hosts, controller's file that it imports)."""
    return [
        (name, other)
        for name, wanted in sorted(graph.items())
        for other in sorted(wanted)
        if name.startswith(("plugins.module_utils", "plugins.modules")) and other.startswith("plugins.plugin_utils")
    ]


def packages_of(root: Path) -> list[str]:
    """The dotted names of the packages of PACKAGES."""
    return [_dotted(path, root) for place in PACKAGES for path in sorted((root / place).rglob("__init__.py"))]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return imports(COLLECTION)


def test_the_imports_are_seen(graph: Graph) -> None:
    """A check of nothing would pass."""
    assert len(graph) > 150
    assert "plugins.module_utils.common.http" in graph["plugins.module_utils.common.probe"]
    assert "plugins.module_utils.common" in by_package(graph, packages_of(COLLECTION))["plugins.module_utils.report"]


def test_no_file_imports_itself_through_others(graph: Graph) -> None:
    assert cycle(graph) == []


def test_no_package_imports_itself_through_others(graph: Graph) -> None:
    assert cycle(by_package(graph, packages_of(COLLECTION))) == []


def test_nothing_on_hosts_imports_the_controllers_code(graph: Graph) -> None:
    assert from_hosts_to_the_controller(graph) == []


@pytest.mark.parametrize("place", PACKAGES)
def test_each_package_says_in_one_sentence_what_it_holds(place: str) -> None:
    folders = [path for path in (COLLECTION / place).rglob("*") if path.is_dir() and any(path.glob("*.py"))]
    assert len(folders) > 3
    wrong = []
    for folder in folders:
        file = folder / "__init__.py"
        said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) if file.exists() else None
        text = " ".join((said or "").split())
        if not text.endswith(".") or ". " in text:
            wrong.append(f"{folder.relative_to(COLLECTION)}: {text or 'no docstring'}")
    assert wrong == []


def made(root: Path, files: Mapping[str, str]) -> Graph:
    """The graph of a small collection."""
    for name, text in files.items():
        path = root / "plugins" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        (path.parent / "__init__.py").touch()
    return imports(root)


def test_a_cycle_between_files_is_found(tmp_path: Path) -> None:
    """However it is written: absolutely, relatively, inside a function."""
    utils = f"{NAMESPACE}plugins.module_utils"
    graph = made(
        tmp_path,
        {
            "module_utils/a/one.py": f"from {utils}.a import two\n",
            "module_utils/a/two.py": "from .three import something\n",
            "module_utils/a/three.py": f"def late() -> None:\n    import {utils}.a.one\n",
        },
    )
    one, two, three = (f"plugins.module_utils.a.{name}" for name in ("one", "two", "three"))
    assert cycle(graph) == [one, two, three, one]


def test_a_cycle_between_packages_is_found_where_no_file_is_in_one(tmp_path: Path) -> None:
    utils = f"{NAMESPACE}plugins.module_utils"
    graph = made(
        tmp_path,
        {
            "module_utils/a/one.py": f"from {utils}.b.one import something\n",
            "module_utils/a/two.py": "",
            "module_utils/b/one.py": "",
            "module_utils/b/two.py": "from ..a import two\n",
        },
    )
    assert cycle(graph) == []
    a, b = "plugins.module_utils.a", "plugins.module_utils.b"
    assert cycle(by_package(graph, packages_of(tmp_path))) == [a, b, a]


@pytest.mark.parametrize("place", ["module_utils/a/one.py", "modules/one.py"])
def test_a_host_that_needs_the_controllers_code_is_found(tmp_path: Path, place: str) -> None:
    text = f"from {NAMESPACE}plugins.plugin_utils.plan import steps\n"
    graph = made(tmp_path, {place: text, "plugin_utils/plan/steps.py": "", "filter/one.py": text})
    name = "plugins." + place.removesuffix(".py").replace("/", ".")
    assert from_hosts_to_the_controller(graph) == [(name, "plugins.plugin_utils.plan.steps")]
