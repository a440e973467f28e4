"""Rules for all Python of the repository."""

import ast
from collections import Counter
from pathlib import Path

from pi0_tools.train.robot import ROBOTS

CHECKOUT = Path(__file__).resolve().parents[2]
MODULES = {
    path: ast.parse(path.read_text(encoding="utf-8"))
    for folder in ("launch", "sim", "tests", "tools")
    for path in (CHECKOUT / folder).rglob("*.py")
}


def repeated(names):
    return [name for name, count in Counter(names).items() if count > 1]


def within_robot(path, name):
    """Packages of the robots that policies are trained for: what has the same part in each has the same name."""
    return f"{path.parent.name}.{name}" if path.parent.name in ROBOTS else name


def test_no_two_modules_have_the_same_name():
    given = ("__init__", "__main__", "conftest")
    assert not repeated(within_robot(path, path.stem) for path in MODULES if path.stem not in given)


def test_no_two_classes_have_the_same_name():
    nodes = ((path, node) for path, tree in MODULES.items() for node in ast.walk(tree))
    classes = (within_robot(path, node.name) for path, node in nodes if isinstance(node, ast.ClassDef))
    assert not repeated(classes)


def test_no_module_edits_the_search_path():
    editing = {
        path.name
        for path, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path"
    }
    assert not editing
