"""The rules of the house that no linter knows: budgets, purity, two colours, what may be imported where."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.twins import COLOURED, SINGLE, SYNC_WORDS, TWINS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "resumable"
CORE = PACKAGE / "_core"

FILE_BUDGET = 400
FUNCTION_BUDGET = 40

# A budget is a smell test: what is over it stands here with its reason, "path" or "path::qualified.name".
OVER_BUDGET: dict[str, str] = {
    "resumable/_core/session.py": "the one decision loop: what changes its state stands in one place",
}

# The core may use what is pure: a list of what is allowed cannot be outflanked by a module nobody thought of.
PURE = frozenset(
    {
        "__future__",
        "binascii",
        "bisect",
        "collections",
        "dataclasses",
        "enum",
        "functools",
        "hashlib",
        "itertools",
        "json",
        "math",
        "msgspec",
        "operator",
        "re",
        "resumable",
        "string",
        "types",
        "typing",
        "unicodedata",
    }
)
IMPURE_CALLS = frozenset({"__import__", "breakpoint", "eval", "exec", "input", "open", "print"})

# A third-party package is imported only where its concern lives; a path ends in "/" when it is a folder.
PLACES = {
    "anthropic": (
        "middleware.py",
        "middleware/",
        "testing/",
        "cli.py",
        "cli/",
        "_sdk.py",
        "otel.py",
        "pytest_plugin.py",
        "sessions/",
    ),
    "opentelemetry": ("otel.py",),
    "pytest": ("pytest_plugin.py",),
    "cryptography": ("store/encrypted/",),
    "redis": ("store/redis/", "store/cluster/", "store/embedded/", "store/_examine.py"),
    "rich": ("cli.py", "cli/"),
    "starlette": ("server/",),
    "tenacity": ("_policy.py",),
    "typer": ("cli.py", "cli/"),
}

# Written in two halves so that this file does not break its own rule.
MACHINE_PATHS = re.compile(
    r"(?<![\w.~$}-])/(?:" + "|".join(["wor" + "k", "roo" + "t", "hom" + "e"]) + r")/\w|/tmp/v" + "env"
)
REGISTRIES = re.compile("|".join(["py" + r"pi\.org", "python" + r"hosted\.", "npm" + r"js\.", "index" + "-url"]))


def python_files(folder: Path) -> list[Path]:
    """List the Python files under *folder*, in a fixed order."""
    return sorted(folder.rglob("*.py"))


def tracked_files() -> list[Path]:
    """List the files git knows; nothing where this is not a clone (CI always is)."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode and os.environ.get("CI") != "true":
        pytest.skip("not a git clone")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def functions(tree: ast.AST, prefix: str = "") -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Walk *tree* and list every function with its qualified name, outermost first."""
    found: list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]] = []
    for node in ast.iter_child_nodes(tree):
        below = prefix
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            below = f"{prefix}{node.name}."
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append((prefix + node.name, node))
        found += functions(node, below)
    return found


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines from `def` to its end, without its docstring."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


def imported(tree: ast.AST) -> set[str]:
    """Collect the absolute dotted names a module imports, at any depth; `from a import b` counts as `a.b` and `a`."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def over_budget() -> dict[str, int]:
    """Measure every file and function and keep what is over its budget."""
    found: dict[str, int] = {}
    for folder in ("resumable", "tests", "benchmarks"):
        for path in python_files(ROOT / folder):
            text = path.read_text(encoding="utf-8")
            name = path.relative_to(ROOT).as_posix()
            if (lines := text.count("\n")) > FILE_BUDGET:
                found[name] = lines
            found |= {
                f"{name}::{qualified}": lines
                for qualified, function in functions(ast.parse(text))
                if (lines := code_lines(function)) > FUNCTION_BUDGET
            }
    return found


class Bleach(ast.NodeTransformer):
    """Rewrite async code to its sync spelling; docstrings go, since each colour may say what it waits for."""

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """Turn `async def` into `def`."""
        return self.visit_FunctionDef(ast.FunctionDef(**vars(node)))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Drop the docstring and give both halves one name."""
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        self.generic_visit(node)
        return node

    def visit_Await(self, node: ast.Await) -> ast.AST:
        """Turn `await x` into `x`."""
        value: ast.AST = self.visit(node.value)
        return value

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        """Turn `async for` into `for`."""
        return self.generic_visit(ast.For(**vars(node)))

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        """Turn `async with` into `with`."""
        return self.generic_visit(ast.With(**vars(node)))

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        """Turn an async comprehension into a plain one."""
        node.is_async = 0
        return self.generic_visit(node)


def bleached(function: ast.AST, names: dict[str, str]) -> str:
    """Spell *function* in sync words, with *names* renamed, in the one layout `ast.unparse` knows."""
    text = ast.unparse(ast.fix_missing_locations(Bleach().visit(function)))
    words = SYNC_WORDS | names
    return re.sub(r"\w+", lambda word: words.get(word[0], re.sub(r"^(_?)Async(?=[A-Z])", r"\1", word[0])), text)


def twin_difference(source: str, sync_name: str, async_name: str) -> tuple[str, str]:
    """Bleach both halves of a pair found in *source*; equal strings mean one program in two colours."""
    by_name = dict(functions(ast.parse(source)))
    names = {async_name.rpartition(".")[2]: sync_name.rpartition(".")[2]}
    return bleached(by_name[sync_name], {}), bleached(by_name[async_name], names)


def test_nothing_is_over_budget_without_a_reason():
    """No file is longer than 400 lines and no function longer than 40, except those listed, and none is listed idly."""
    assert {name: OVER_BUDGET.get(name, lines) for name, lines in over_budget().items()} == OVER_BUDGET


@pytest.mark.parametrize("path", python_files(CORE), ids=lambda path: path.stem)
def test_core_is_pure(path):
    """A core module imports only what is pure and calls nothing that reads or writes the world."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = imported(tree)
    assert {name.partition(".")[0] for name in names} <= PURE
    assert {name for name in names if name.startswith("resumable.")} <= {
        name for name in names if name.startswith("resumable._core")
    }
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & IMPURE_CALLS


def test_third_party_imports_stay_in_their_place():
    """Each third-party package is imported only by the files its concern belongs to."""
    strays = [
        (path.relative_to(PACKAGE).as_posix(), top)
        for path in python_files(PACKAGE)
        for top in {name.partition(".")[0] for name in imported(ast.parse(path.read_text(encoding="utf-8")))}
        if top in PLACES and not path.relative_to(PACKAGE).as_posix().startswith(PLACES[top])
    ]
    assert strays == []


def test_no_private_module_of_the_sdk_is_imported():
    """No file, not even a test, imports a module of the SDK whose path has an underscore."""
    strays = [
        (path.relative_to(ROOT).as_posix(), name)
        for folder in ("resumable", "tests", "benchmarks")
        for path in python_files(ROOT / folder)
        for name in imported(ast.parse(path.read_text(encoding="utf-8")))
        if re.match(r"anthropic\.(\w+\.)*_(?!_)", name)
    ]
    assert strays == []


@pytest.mark.parametrize(("file", "sync_name", "async_name"), TWINS)
def test_two_colours_are_one_program(file, sync_name, async_name):
    """A sync function and its async twin are identical once `await` is taken away."""
    both = "\n".join((PACKAGE / one).read_text(encoding="utf-8") for one in file.split("+"))
    plain, coloured = twin_difference(both, sync_name, async_name)
    assert coloured == plain


def test_every_async_function_of_a_driver_has_a_twin():
    """An async function in a driver is either compared with its twin or listed with the reason why it has none."""
    found = {
        f"{file}::{name}"
        for file in COLOURED
        if (PACKAGE / file).exists()
        for name, function in functions(ast.parse((PACKAGE / file).read_text(encoding="utf-8")))
        if isinstance(function, ast.AsyncFunctionDef)
    }
    assert found == {f"{file.rpartition('+')[2]}::{async_name}" for file, _, async_name in TWINS} | set(SINGLE)


PAIR = '''
class Source:
    def pull(self, now):
        """Wait."""
        with closing(self) as body:
            return [self.next(item) for item in body if self.read(now)]

class AsyncSource:
    async def apull(self, now):
        """Wait, and let others run."""
        async with aclosing(self) as body:
            return [await self.anext(item) async for item in body if await self.aread({argument})]
'''


@pytest.mark.parametrize(("argument", "same"), [("now", True), ("now + 1", False)])
def test_colour_comparison_sees_a_difference(argument, same):
    """The comparison forgives `async`, `await`, their words and docstrings, and nothing else."""
    plain, coloured = twin_difference(PAIR.replace("{argument}", argument), "Source.pull", "AsyncSource.apull")
    assert (plain == coloured) is same


def test_no_machine_path_and_no_registry_host_is_written_down():
    """No tracked file names a folder of somebody's machine or the host of a package registry."""
    strays = [
        (path.relative_to(ROOT).as_posix(), number)
        for path in tracked_files()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if MACHINE_PATHS.search(line) or REGISTRIES.search(line)
    ]
    assert strays == []


def locked() -> dict[str, str]:
    """Read .ci/constraints.txt: name -> version; every line must be a pin or a hash."""
    pins: dict[str, str] = {}
    for line in (ROOT / ".ci/constraints.txt").read_text(encoding="utf-8").splitlines():
        if re.fullmatch(r" {4}--hash=sha256:[0-9a-f]{64}( \\)?", line):
            continue
        requirement = Requirement(line.removesuffix(" \\"))
        [pin] = requirement.specifier
        assert pin.operator == "=="
        pins[canonicalize_name(requirement.name)] = pin.version
    return pins


def test_constraints_pin_every_requirement():
    """The constraints are names, versions and hashes only, and hold a fitting version of all we ask for."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = pyproject["project"]
    wanted = [*project["dependencies"], *pyproject["build-system"]["requires"]]
    wanted += [one for extra in project["optional-dependencies"].values() for one in extra]
    pins = locked()
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        assert name == project["name"] or requirement.specifier.contains(pins[name]), requirement
