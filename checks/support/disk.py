"""A disk that loses what was never synced, and that fails or stops at the moment a test says.

`disk.c` stands between a process and the C library. What a process sees is the real folder; beside
it, a shadow holds what would survive a power cut.
"""

import ctypes
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from checks.support.servers import ROOT

COMPILER = shutil.which("gcc") or shutil.which("cc")
SECTOR = 512


class Disk:
    """A folder that is on such a disk."""

    def __init__(self, shim: Path, place: Path) -> None:
        self.shim = shim
        self.folder, self.shadow, self.faults = (
            place.resolve() / name for name in ("folder", "shadow", "faults")
        )
        for folder in (self.folder, self.shadow, self.faults):
            folder.mkdir(parents=True)

    def environment(self, step: str = "") -> dict[str, str]:
        """Return what a process needs to live on it; it dies before `step`: "fsync 3", "all 9"."""
        return {
            **os.environ,
            "LD_PRELOAD": str(self.shim),
            "DISK_FOLDER": str(self.folder),
            "DISK_SHADOW": str(self.shadow),
            "DISK_FAULTS": str(self.faults),
            "DISK_STEP": step,
        }

    def run(self, *command: str, step: str = "") -> "subprocess.CompletedProcess[str]":
        """Run Python on it."""
        return subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=self.environment(step),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def fail(self, call: str, error: int, end: str = "") -> None:
        """Let fsync, write or read fail, on files whose names end so; until `mend`."""
        new = self.faults / "new"
        new.write_text(f"{error} {end}")
        new.rename(self.faults / call)

    def mend(self) -> None:
        """Let everything work again."""
        for fault in self.faults.iterdir():
            fault.unlink()

    def names(self) -> dict[str, tuple[str, int]]:
        """Return the names that a power cut leaves: what each stands for, and its mode."""
        lines = [line.split(" ", 2) for line in (self.shadow / "names").read_text().splitlines()]
        return {name: (key, int(mode, 8)) for key, mode, name in lines}

    def key(self, file: Path) -> str:
        """Return what stands for a file in the shadow."""
        key = ctypes.create_string_buffer(512)
        ctypes.CDLL(str(self.shim)).key_of(-1, str(file).encode(), key, len(key))
        return key.value.decode()

    def cut(self, *, scattered: bool = False) -> None:
        """Cut the power, no process being left: nothing is in the folder but what is durable.

        A disk may write more than it was asked to sync, in any order: `scattered` leaves a random
        part of that, too.
        """
        here = {self.key(file): file for file in self.folder.iterdir()}
        names = self.names()
        kept = {}
        for key in {key for key, _ in names.values()}:
            safe = self.shadow / key
            content = safe.read_bytes() if safe.exists() else b""
            present = here.get(key)
            if scattered and present:
                content = scatter(content, present.read_bytes())
            kept[key] = content
        for file in self.folder.iterdir():
            file.unlink()
        made: dict[str, Path] = {}
        for name, (key, mode) in names.items():
            if name.endswith("-shm"):  # never synced, and made again from the log
                continue
            file = self.folder / name
            if key in made:
                os.link(made[key], file)
                continue
            made[key] = file
            file.write_bytes(kept[key])
            file.chmod(mode)
        for file in self.shadow.iterdir():
            file.unlink()

    def start_anew(self, files: Path | None = None) -> None:
        """Forget everything; then the folder has copies of `files`, long on the disk."""
        for folder in (self.folder, self.shadow, self.faults):
            for file in folder.iterdir():
                file.unlink()
        if files:
            shutil.copytree(files, self.folder, dirs_exist_ok=True)


FORKING = """
import ctypes, os, sys, traceback
from pathlib import Path
from models import migrations, sqlite_file
from models.database import SqliteStore
from models.sqlite_file import SqliteFile
os.umask(0o077)
path = Path(os.environ["DISK_FOLDER"], "people.db")
shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        os.environ["DISK_STEP"] = line.strip()
        shim.begin()
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Trials:
    """Does the same work on a disk again and again, stopped at a step that is said each time.

    `work` is a function in Python, of `path` and the models. Importing them takes long: each trial
    is a fork of a process that has.
    """

    def __init__(self, disk: Disk, work: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{work}\n{FORKING}"],
            cwd=ROOT,
            env=disk.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        # It looks at the disk when it starts: nobody may change that meanwhile.
        assert self.process.stdout and self.process.stdout.readline() == "ready\n"

    def died(self, step: str) -> bool:
        """Do it until `step`; say whether it came as far, rather than to the end."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{step}\n")
        self.process.stdin.flush()
        status = int(self.process.stdout.readline())
        assert status in (0, signal.SIGKILL)
        return status != 0

    def close(self) -> None:
        """End."""
        self.process.communicate()


def scatter(old: bytes, new: bytes) -> bytes:
    """Return a file of which some sectors are old and some new."""
    length = random.choice([len(old), len(new)])
    sides = [side.ljust(length, b"\0") for side in (old, new)]
    sectors = range(0, length, SECTOR)
    mixed = b"".join(random.choice(sides)[at : at + SECTOR] for at in sectors)
    return mixed[:length]


def build(source: str, folder: Path) -> Path:
    """Build what stands before the C library; return the file for LD_PRELOAD."""
    if sys.platform != "linux":
        pytest.skip("this stands before Linux's C library only")
    if COMPILER is None:
        pytest.skip("no C compiler was found: apt install gcc libc6-dev")
    built = folder / f"{source}.so"
    command = [COMPILER, "-shared", "-fPIC", "-O2", "-Wall", "-o", str(built)]
    subprocess.run([*command, str(ROOT / "checks/support" / source), "-ldl"], check=True)
    return built
