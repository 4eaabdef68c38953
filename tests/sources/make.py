"""Makes `valid/*.py`: the texts that libtorch's printer writes for the modules of `themes.py` and `themes_data.py`.

    python make.py

A theme is a function that gives a scripted or traced module; its file is what the saved archive holds under `code/`
for the classes written here. Texts printed for PyTorch's own classes are left out.
"""

import os
import sys
import tempfile
import zipfile
from pathlib import Path

import torch

import themes
import themes_data

HERE = Path(__file__).parent


def texts(module: torch.jit.ScriptModule) -> dict[str, str]:
    """The source files of the module's archive that do not come from PyTorch, by their name under `code/`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "theme.pt"
        torch.jit.save(module, path)
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.startswith("theme/code/") and name.endswith(".py")]
            return {name.removeprefix("theme/code/"): archive.read(name).decode() for name in names
                    if not name.startswith("theme/code/__torch__/torch/")}


def write(theme: str, module: torch.jit.ScriptModule) -> None:
    for number, text in enumerate(texts(module).values(), start=1):
        suffix = "" if number == 1 else f"_{number}"
        (HERE / "valid" / f"{theme}{suffix}.py").write_text(text, encoding="utf-8")


def main() -> None:
    (HERE / "valid").mkdir(exist_ok=True)
    for old in (HERE / "valid").glob("*.py"):
        old.unlink()
    failed = []
    for theme, make in themes.THEMES + themes_data.THEMES:
        # TorchScript numbers class names per process; a process for each theme makes the files independent.
        child = os.fork()
        if child == 0:
            torch.manual_seed(7)
            write(theme, make())
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            failed.append(theme)
    if failed:
        raise SystemExit(f"could not be made: {', '.join(failed)}")


if __name__ == "__main__":
    # Scripted classes print their constants in the order of a set of strings.
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"PYTHONHASHSEED": "0"})
    main()
