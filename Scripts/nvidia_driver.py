#!/usr/bin/env python3
"""OpenCL C to PTX by the compiler that NVIDIA's drivers bring (libnvidia-nvvm.so.4), which needs no GPU: what clBuildProgram has there.

Debian's drivers (non-free), unpacked and not installed: 535 of Debian 12, 550 of Debian 13. NVIDIA_COMPILER names another driver's library. Its
function NvCliCompileProgram has no documentation of NVIDIA's; its arguments are as https://github.com/ljbade/clcc has them.

As a program it takes clang's words, such as "-o to.ptx from.cl", and writes PTX for sm_90a, so that Scripts/ptx-emulator can have it as its compiler.
"""

import ctypes
import os
import pathlib
import sys

sys.dont_write_bytecode = True
from assembly import ROOT, unpack_suite

FOLDER = ROOT / ".build-nvidia-driver"  # ignored by git, as every .build-* is
SUITES = {"535": "bookworm", "550": "trixie"}


def path(version="535"):
    """The library, or None where it is not there."""
    named = os.environ.get("NVIDIA_COMPILER")
    return named or next((str(found) for found in FOLDER.glob(f"{version}/**/libnvidia-nvvm.so.{version}.*")), None)


def install(version="535"):
    """Raises CalledProcessError or OSError where Debian's package is not to be had."""
    if not path(version):
        unpack_suite(FOLDER / version, f"{SUITES[version]} non-free", ["libnvidia-nvvm4"])


def compile_program(source, options, target, compiler):
    """PTX, or None; and what the compiler says. Takes the process with it where the compiler crashes."""
    compiler = ctypes.CDLL(compiler)
    log, made = ctypes.c_void_p(), ctypes.c_void_p()
    wrong = compiler.NvCliCompileProgram(
        (ctypes.c_char_p * 1)(source), ctypes.c_uint(1), (ctypes.c_size_t * 1)(len(source)),
        f"{options} -cl-nv-cstd=CL1.2 -nv-m64 -cl-nv-arch {target}".encode(), ctypes.byref(log), ctypes.byref(made))
    said = ctypes.string_at(log.value).decode(errors="replace") if log.value else ""
    return None if wrong or not made.value else ctypes.string_at(made.value), said


def main():
    words = sys.argv[1:]
    source = pathlib.Path(next(word for word in words if word.endswith(".cl"))).read_bytes()
    # It says itself that it is NVIDIA's.
    options = [word for word in words if word.startswith(("-D", "-cl-")) and not word.startswith("-D__NV_CL_C_VERSION")]
    ptx, said = compile_program(source, " ".join(options), os.environ.get("NVIDIA_ARCH", "sm_90"), path())
    if ptx is None:
        sys.exit(f"error: {said or 'the compiler said nothing'}")
    pathlib.Path(words[words.index("-o") + 1]).write_bytes(ptx)


if __name__ == "__main__":
    main()
