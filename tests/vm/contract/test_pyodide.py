"""Contracts under a second CPython: pyodide's, on WebAssembly, comes to the same results and gas.

It is looked for where `npm install --prefix .venv/pyodide pyodide@314.0.7` puts it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgpack

from tests.e2e.needs import require

ROOT = Path(__file__).parents[3]
PYODIDE = ROOT / ".venv" / "pyodide" / "node_modules" / "pyodide" / "pyodide.mjs"
PROGRAMS = 40
ARGUMENTS = ["--no-oracle", "--programs", str(PROGRAMS), "--first", "7000"]
# The pure part of msgpack stands in for its compiled one, which is for this processor.
SCRIPT = """
import fs from "fs";
import path from "path";
const { loadPyodide } = await import(process.argv[1]);
const py = await loadPyodide({ stdout: console.log, stderr: console.error });
function copy(from, to) {
  py.FS.mkdirTree(to);
  for (const entry of fs.readdirSync(from, { withFileTypes: true })) {
    const source = path.join(from, entry.name), target = to + "/" + entry.name;
    if (entry.isDirectory()) copy(source, target);
    else if (entry.name.endsWith(".py")) py.FS.writeFile(target, fs.readFileSync(source));
  }
}
for (const name of ["vm", "tools/contract", "tests/vm"])
  copy(path.join(process.argv[2], name), "/run/" + name);
for (const name of ["tools", "tests"])
  py.FS.writeFile("/run/" + name + "/__init__.py", "");
copy(process.argv[3], "/run/msgpack");
py.globals.set("arguments", py.toPy(JSON.parse(process.argv[4])));
py.runPython(`
import sys
sys.path.insert(0, "/run")
from tests.vm.contract.differential import main
main(arguments)
`);
"""


def test_results_and_gas_are_the_same_under_pyodide() -> None:
    node = shutil.which("node")
    if node is None or not PYODIDE.exists():
        require("no pyodide: npm install --prefix .venv/pyodide pyodide@314.0.7")
    assert node is not None
    folder = str(Path(msgpack.__file__).parent)
    inside = subprocess.run(
        [node, "--input-type=module", "-e", SCRIPT, str(PYODIDE), str(ROOT), folder,
         json.dumps(ARGUMENTS)],
        capture_output=True, check=False, text=True, timeout=170,
    )  # fmt: skip
    assert inside.returncode == 0, inside.stderr[-2_000:]
    here = subprocess.run(
        [sys.executable, "-m", "tests.vm.contract.differential", *ARGUMENTS],
        cwd=ROOT, capture_output=True, check=True, text=True, timeout=170,
    )  # fmt: skip
    outside, found = here.stdout.splitlines(), inside.stdout.splitlines()
    assert found[-1].startswith("digest ")
    assert found[-1] == outside[-1]
    assert found[-2] != outside[-2], "it was the same Python"
