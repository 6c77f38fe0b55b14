"""The house rules that a machine can check: layers, exported names, sizes, annotations, light imports."""

import ast
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from statistics import median

import mimar

ROOT = Path(mimar.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
PACKAGES = sorted(
    ".".join(("mimar", *path.parent.relative_to(ROOT).parts)) for path in FILES if path.name == "__init__.py"
)
MODULES = [f"mimar.{path.stem}" for path in sorted(ROOT.glob("*.py")) if not path.stem.startswith("_")]
HEAVY = ("torch", "transformers", "plotly", "scipy.stats", "sklearn", "xllamacpp", "pydantic_ai", "ray", "openai")


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def functions():
    """(file:line name, node) for every function and method of the library."""
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


def is_command(function):
    """A command of the command line: its parameters declare options, nobody passes them."""
    made_by = [getattr(decorator, "func", decorator) for decorator in function.decorator_list]
    return any(isinstance(node, ast.Attribute) and node.attr in ("command", "callback") for node in made_by)


def length(function):
    """Lines of a function, its docstring and a command's options not counted."""
    first = function.body[0]
    lines = function.end_lineno - (first if is_command(function) else function).lineno + 1
    documented = ast.get_docstring(function, clean=False) is not None
    return lines - (first.end_lineno - first.lineno + 1 if documented else 0)


def listed(offenders):
    """Offenders as lines of an assertion message."""
    return "\n" + "\n".join(map(str, offenders))


def test_arrows_point_down():
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT.parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_package_exports_what_is_on_record(check_golden):
    """The curated interface; a name that comes or goes is a decision, not an accident."""
    names = {}
    for module in (*PACKAGES, *MODULES):
        loaded = import_module(module)
        assert loaded.__doc__, f"{module} needs a docstring that says what it is for"
        names[module] = sorted(getattr(loaded, "__all__", ()))
        missing = [name for name in names[module] if not hasattr(loaded, name)]
        assert not missing, f"{module}.__all__ names what is not there: {missing}"
    check_golden("public_names.json", json.dumps(names, indent=1) + "\n")


def test_files_are_short():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    long = {name: lines for name, lines in lengths.items() if lines > 400}
    assert not long, f"files of at most 400 lines, got {long}"
    assert median(lengths.values()) <= 150


def test_functions_are_short():
    lengths = {name: length(node) for name, node in functions()}
    long = [f"{name}: {lines} lines" for name, lines in lengths.items() if lines > 60]
    assert not long, f"functions of at most 60 lines without their docstring, got{listed(long)}"
    assert sum(lines <= 25 for lines in lengths.values()) >= 0.9 * len(lengths), "nine of ten functions ≤ 25 lines"


def test_few_positional_arguments():
    crowded = []
    for name, node in functions():
        arguments = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
        own = [argument for argument in arguments if argument not in ("self", "cls")]
        if len(own) > 5 and not is_command(node):
            crowded.append(f"{name}({', '.join(own)})")
    assert not crowded, f"at most five positional arguments, got{listed(crowded)}"


def test_no_grab_bags():
    assert not [path for path in FILES if path.stem.strip("_") in ("utils", "util", "helpers", "common", "misc")]


def test_every_public_function_is_annotated():
    bare = []
    for name, node in functions():
        arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        open_ = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
        if open_ or node.returns is None:
            bare.append(f"{name}: {', '.join(open_) or 'what it returns'}")
    assert not bare, f"annotations everywhere, missing{listed(bare)}"


def test_nothing_is_passed_through_blindly():
    blind = [name for name, node in functions() if node.args.kwarg is not None and not node.name.startswith("__")]
    allowed = {
        ("_transformer.py", "restricted"),  # its keywords are the space's variables
        ("_ragged.py", "forward"),  # called by transformers, with what its version has, and uses none of it
    }
    found = {(name.split(":")[0].rpartition("/")[2], name.split()[-1]) for name in blind}
    assert found <= allowed, listed(blind)


def test_private_modules_stay_behind_their_package():
    """A package imports another's names from its front door."""
    intruders = []
    for path in FILES:
        home = path.relative_to(ROOT).parts[:-1]
        for node in ast.walk(tree(path)):
            parts = (node.module or "").split(".") if isinstance(node, ast.ImportFrom) and not node.level else []
            private = [i for i, part in enumerate(parts) if part.startswith("_") and part != "__future__"]
            if parts[:1] == ["mimar"] and private and tuple(parts[1 : private[0]]) != home[: private[0] - 1]:
                intruders.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.module}")
    assert not intruders, listed(intruders)


def test_imports_are_light():
    statements = (
        "import mimar, mimar.study, mimar.testing, mimar.tasks, mimar.cli._report",
        "from mimar import Study, TransformerSpace, AdaptivePortfolio, SQLiteStorage",
        "import mimar.space, mimar.strategy, mimar.storage, mimar.llm, mimar.objectives, mimar.predict, mimar.pareto",
    )
    code = "\n".join(("import sys", *statements, f"print(*[name for name in {HEAVY!r} if name in sys.modules])"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
