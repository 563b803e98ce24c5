"""C++ compiled once on the machine it runs on and kept in a cache folder, for ctypes.

Cache: $VENOM_CACHE, else $XDG_CACHE_HOME/venom-hw, else ~/.cache/venom-hw. The file name carries a hash of the
source, the compiler's version, the flags and the processor, so that nothing stale is ever loaded.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path


class KernelUnavailable(RuntimeError):
    """The kernel cannot be compiled or loaded here."""


def cache_folder() -> Path:
    """Folder of compiled kernels (need not exist)."""
    if folder := os.environ.get("VENOM_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "venom-hw"


def compiler() -> tuple[str, str]:
    """Path and version line of the C++ compiler ($CXX, else g++, c++, clang++).

    Raises:
        KernelUnavailable: there is none.
    """
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "c++", "clang++"]
    for name in names:
        if path := shutil.which(name):
            return path, _version(path)
    raise KernelUnavailable(f"no C++ compiler found (looked for {', '.join(names)}; Debian: apt install g++)")


@functools.cache
def _version(path: str) -> str:
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60)
    return answer.stdout.partition("\n")[0]


@functools.cache
def _processor() -> str:
    """What -march=native depends on: a cache folder may be shared by several machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return "".join(
        next((x for x in lines if x.startswith(key)), "") for key in ("model name", "flags", "Features")
    )


def read_source(path: Path) -> str:
    """The text of a C++ file, each `#include "..."` replaced by the file that it names, relative to its own folder.

    So the hash of the text covers all of it. A file is to be included once.
    """

    def included(match: re.Match) -> str:
        return read_source(path.parent / match.group(1))

    return re.sub(r'^#include "([^"]+)"$', included, path.read_text(encoding="utf-8"), flags=re.MULTILINE)


def compile_library(source: str, name: str, flags: Sequence[str], *, what: str, folder: Path | None = None) -> Path:
    """The shared library of a C++ source text, compiled into `folder` (default: the cache) unless it is there.

    Args:
        name: beginning of the library's file name.
        what: what the source is called in an error.

    Raises:
        KernelUnavailable: no compiler, a source that does not compile, a folder that cannot be written.
    """
    path, version = compiler()
    key = "\0".join([source, path, version, *flags, _processor()])
    folder = cache_folder() if folder is None else Path(folder)
    library = folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:20]}.so"
    if library.is_file():
        return library
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f"{name}-", suffix=".tmp", dir=folder)
    except OSError as error:
        raise KernelUnavailable(
            f"cannot write to {folder} ({error}); VENOM_CACHE names another folder"
        ) from error
    os.close(handle)
    try:
        command = [path, *flags, "-x", "c++", "-", "-o", temporary]
        done = subprocess.run(command, input=source, capture_output=True, text=True, timeout=300)
        if done.returncode:
            lines = [x for x in done.stderr.splitlines() if "error" in x] or done.stderr.splitlines()[-1:]
            raise KernelUnavailable(f"{path} failed on {what}: {lines[0] if lines else 'no message'}")
        os.chmod(temporary, 0o755)
        os.replace(temporary, library)
    except (OSError, subprocess.SubprocessError) as error:
        raise KernelUnavailable(f"{path} on {what}: {error}") from error
    finally:
        Path(temporary).unlink(missing_ok=True)
    return library
