#!/usr/bin/env python3
"""OpenCL C to assembly by the compiler that AMD's drivers have (comgr, ROCm's code object manager), which needs no GPU.

Debian 13's, of ROCm 6.0 and LLVM 17, unpacked and not installed. It needs a newer C library than Debian 12's, so a process of its own runs under
the one unpacked with it. The three steps, and their options, are those of clBuildProgram in AMD's runtime: sources with the device's functions
to bitcode, bitcode linked, bitcode to code (here as text).
https://github.com/ROCm/llvm-project/blob/amd-staging/amd/comgr/include/amd_comgr.h.in

    Scripts/amd_driver.py -o to.s --target gfx942 from.cl -DNAME=VALUE...
"""

import ctypes
import os
import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True
from assembly import ROOT, unpack_suite

VERSION = "6.0"
FOLDER = ROOT / ".build-amd-driver"  # ignored by git, as every .build-* is
LIBRARIES = FOLDER / "usr/lib/x86_64-linux-gnu"
COMPILER = LIBRARIES / "libamd_comgr.so.2"
HEADERS = FOLDER / "usr/lib/llvm-17/lib/clang/17"
# libamd-comgr2 and what it needs, down to the C library; the headers are OpenCL's functions.
PACKAGES = ["libamd-comgr2", "libclang-common-17-dev", "libllvm17t64", "libc6", "libgcc-s1", "libstdc++6", "libzstd1", "zlib1g", "libedit2", "libbsd0", "libmd0",
            "libffi8", "libtinfo6", "libxml2", "liblzma5", "libz3-4"]
# amd_comgr_data_kind_t, amd_comgr_language_t and amd_comgr_action_kind_t.
SOURCE, LOG, BYTES = 0x1, 0x5, 0x9
OPENCL_1_2 = 0x1
LINK, TO_ASSEMBLY, COMPILE_WITH_DEVICE_LIBRARIES = 0x4, 0x7, 0xF


def installed():
    return (FOLDER / "complete").exists() and COMPILER.exists() and HEADERS.exists()


def install():
    """Raises CalledProcessError or OSError where Debian's packages are not to be had."""
    if not installed():
        unpack_suite(FOLDER, "trixie main", PACKAGES)


def compile_program(to, source, macros, target):
    """What the compiler says against it; None where it takes it. Paths of files."""
    run = subprocess.run(
        [LIBRARIES / "ld-linux-x86-64.so.2", "--library-path", LIBRARIES, sys.executable, __file__, "-o", to, "--target", target, source]
        + [f"-D{macro}" for macro in macros], capture_output=True, text=True)
    return None if run.returncode == 0 else run.stderr.strip()[:2000] or f"the compiler ended with {run.returncode}"


class Handle(ctypes.Structure):
    _fields_ = [("handle", ctypes.c_uint64)]


class Compiler:
    def __init__(self):
        self.library = ctypes.CDLL(str(COMPILER))

    def call(self, name, *arguments):
        if getattr(self.library, f"amd_comgr_{name}")(*arguments) != 0:
            sys.exit(f"amd_comgr_{name} failed")

    def made(self, name, *arguments):
        handle = Handle()
        self.call(name, *arguments, ctypes.byref(handle))
        return handle

    def contents(self, data_set, kind):
        count = ctypes.c_size_t()
        self.call("action_data_count", data_set, kind, ctypes.byref(count))
        for index in range(count.value):
            data = self.made("action_data_get_data", data_set, kind, ctypes.c_size_t(index))
            size = ctypes.c_size_t()
            self.call("get_data", data, ctypes.byref(size), None)
            bytes_ = ctypes.create_string_buffer(size.value)
            self.call("get_data", data, ctypes.byref(size), bytes_)
            yield bytes_.raw

    def act(self, action, target, data_set, options):
        info = self.made("create_action_info")
        self.call("action_info_set_isa_name", info, f"amdgcn-amd-amdhsa--{target}".encode())
        self.call("action_info_set_language", info, OPENCL_1_2)
        self.call("action_info_set_logging", info, ctypes.c_bool(True))
        words = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
        self.call("action_info_set_option_list", info, words, ctypes.c_size_t(len(options)))
        result = self.made("create_data_set")
        if self.library.amd_comgr_do_action(action, info, data_set, result) != 0:
            sys.exit(b"".join(self.contents(result, LOG)).decode(errors="replace") or "the compiler said nothing")
        return result

    def assembly(self, text, macros, target):
        source = self.made("create_data", SOURCE)
        self.call("set_data", source, ctypes.c_size_t(len(text)), text)
        self.call("set_data_name", source, b"input.cl")
        sources = self.made("create_data_set")
        self.call("data_set_add", sources, source)
        # The host's options (ProgramCache), and where OpenCL's functions are declared: the runtime has them as a precompiled header.
        options = ["-cl-std=CL1.2", "-cl-kernel-arg-info", "-w", "-O3", "-Xclang", "-finclude-default-header", f"-resource-dir={HEADERS}"] + macros
        bitcode = self.act(COMPILE_WITH_DEVICE_LIBRARIES, target, sources, options)
        code = self.act(TO_ASSEMBLY, target, self.act(LINK, target, bitcode, []), ["-O3"])
        return b"".join(self.contents(code, SOURCE))


def main():
    words = sys.argv[1:]
    source = next(word for word in words if word.endswith(".cl"))
    macros = [word for word in words if word.startswith("-D")]
    text = Compiler().assembly(pathlib.Path(source).read_bytes(), macros, words[words.index("--target") + 1])
    pathlib.Path(words[words.index("-o") + 1]).write_bytes(text)


if __name__ == "__main__":
    main()
