"""Nothing in the packages makes code of data, commands of text, or files under known names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [
    path
    for package in (
        "gridedge_gateway",
        "gridedge_env",
        "gradmap_trainer",
        "baselines",
        "benchmarks",
    )
    for path in sorted((ROOT / package).rglob("*.py"))
]
# Ways to run what was only to be read. RLlib's checkpoints are pickles, and compiled kernels, which
# are code anyway, as the docs say.
MODULES = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "marshal", "shelve", "yaml"}
CALLS = {"eval", "exec", "compile", "mktemp", "popen", "extractall", "extract", "read_pickle"}
NAMES = {"os.system", "tempfile.gettempdir"}
KERNELS = "gridedge_env/compiled/cache.py"
PICKLES = {
    ("baselines/rllib/run.py", "from_checkpoint"),
    ("baselines/rllib/training.py", "restore_from_path"),
}
# Calls that are safe with an argument alone.
ONLY_WITH = {"np.load": "allow_pickle", "torch.load": "weights_only"}


def name_of(called: ast.expr) -> str:
    """np.load, eval, ..."""
    return ast.unparse(called) if isinstance(called, ast.Attribute | ast.Name) else ""


def findings(path: Path) -> Iterator[str]:
    """What a file has of the above."""
    inside = path.relative_to(ROOT).as_posix()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names]
            odd = [name for name in names if name.split(".")[0] in MODULES]
            yield from (f"{inside} imports {name}" for name in odd if inside != KERNELS)
        if isinstance(node, ast.Constant) and str(node.value).startswith(("/tmp", "/var/tmp")):
            yield f"{inside}:{node.lineno} names a folder that is everybody's"
        if not isinstance(node, ast.Call):
            continue
        name, arguments = name_of(node.func), {word.arg: word.value for word in node.keywords}
        last = name.rpartition(".")[2]
        if name in NAMES or (last in CALLS and name != "re.compile"):
            yield f"{inside}:{node.lineno} calls {name}"
        if last in {called for _, called in PICKLES} and (inside, last) not in PICKLES:
            yield f"{inside}:{node.lineno} calls {name}"
        if name in ONLY_WITH and ONLY_WITH[name] not in arguments:
            yield f"{inside}:{node.lineno} calls {name} without {ONLY_WITH[name]}"
        if "shell" in arguments:
            yield f"{inside}:{node.lineno} calls {name} with a shell"
        allowed = arguments.get("allow_pickle")
        if allowed is not None and ast.unparse(allowed) != "False":
            yield f"{inside}:{node.lineno} calls {name} with pickles"


def test_files_are_seen() -> None:
    assert len(FILES) > 200


@pytest.mark.parametrize("package", sorted({path.relative_to(ROOT).parts[0] for path in FILES}))
def test_nothing_makes_code_of_data(package: str) -> None:
    own = [path for path in FILES if path.relative_to(ROOT).parts[0] == package]
    assert not [found for path in own for found in findings(path)]
