#!/usr/bin/env python3
"""Makes a directory in which one of the programs runs as a user would run it.

    python prepare.py invoice_flatten /tmp/work     # program, lib/ and input/ from the bundled data
    cd /tmp/work && python invoice_flatten.py

The programs use relative paths (`input`, `output`, `chk-point-dir`), so the directory is all they
need. `word_count` additionally wants a line server: `nc -lk 9999`.
"""

import argparse
import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data"


def invoice_files(folder: Path) -> None:
    for source in sorted((DATA / "invoices").glob("*.json")):
        shutil.copyfile(source, folder / source.name)


def trade_files(folder: Path) -> None:
    """One trade a file, so that each is a micro-batch of its own."""
    lines = [line for line in (DATA / "trades-watermark.txt").read_text().splitlines() if line.strip()]
    for number, line in enumerate(lines):
        (folder / f"trade-{number:02}.txt").write_text(line + "\n")


INPUTS = {"word_count": None, "invoice_flatten": invoice_files, "trades_window": trade_files}


def prepare(program: str, directory: Path) -> Path:
    """Returns the path of the program in its new directory."""
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copytree(HERE / "lib", directory / "lib", dirs_exist_ok=True)
    shutil.copyfile(HERE / f"{program}.py", directory / f"{program}.py")
    if INPUTS[program] is not None:
        (directory / "input").mkdir(exist_ok=True)
        INPUTS[program](directory / "input")
    return directory / f"{program}.py"


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("program", choices=sorted(INPUTS))
    arguments.add_argument("directory", type=Path)
    chosen = arguments.parse_args()
    print(prepare(chosen.program, chosen.directory))
