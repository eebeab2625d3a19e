#!/usr/bin/env python3
"""OpenCL C to PTX by NVIDIA's own optimiser: clang reads the text, libnvvm (PyPI, nvidia-nvvm) makes PTX of what clang made of it.

libnvvm reads today's LLVM's language for Blackwell (sm_100) alone, so it is asked for that; the few instructions that Hopper has not are then written in
those that it has, and the PTX says Hopper. What a GPU's driver has may be older.

As a program it takes clang's words, such as "-o to.ptx from.cl", and writes PTX for sm_90a, so that Scripts/ptx-emulator can have it as its compiler.
"""

import ctypes
import functools
import glob
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = ROOT / ".build-ptx"
ARCHITECTURE = "sm_100"
LAYOUT = (
    "e-p:64:64:64-p6:32:32:32-i1:8:8-i8:8:8-i16:16:16-i32:32:32-i64:64:64-i128:128:128-f32:32:32-f64:64:64-f128:128:128-v16:16:16-v32:32:32-"
    "v64:64:64-v128:128:128-n16:32:64-a:8:8")


def path():
    return next(iter(glob.glob(str(VENV / "lib/python3*/site-packages/nvidia/*/lib/libnvvm.so.*"))), None)


@functools.cache
def library():
    return ctypes.CDLL(path())


def text(program, size, get):
    count = ctypes.c_size_t()
    size(program, ctypes.byref(count))
    buffer = ctypes.create_string_buffer(count.value)
    get(program, buffer)
    return buffer.value.decode()


def for_hopper(ptx):
    """Two numbers in one instruction as two, and fp16 beside fp32 converted first."""
    def pair(found):
        operation, to, operands = found["operation"], found["to"], re.split(r",\s*", found["operands"])
        lines = ["{.reg .f32 low<4>, high<4>;", ".reg .b64 both;"]
        for k, operand in enumerate(operands):
            lines += [f"mov.b64 both, {operand};", f"mov.b64 {{low{k}, high{k}}}, both;"]
        for half in ["low", "high"]:
            lines.append(f"{operation}.f32 {half}3, " + ", ".join(f"{half}{k}" for k in range(len(operands))) + ";")
        return " ".join(lines + [f"mov.b64 {to}, {{low3, high3}};}}"])

    def mixed(found):
        operands = re.split(r",\s*", found["operands"])
        halves = 2 if found["operation"].startswith("fma") else 1
        lines = ["{.reg .f32 whole<2>;"] + [f"cvt.f32.f16 whole{k}, {operands[k]};" for k in range(halves)]
        operands = [f"whole{k}" for k in range(halves)] + operands[halves:]
        return " ".join(lines + [f"{found['operation']}.f32 {found['to']}, {', '.join(operands)};}}"])

    rest = r"\s+(?P<to>%\w+),\s*(?P<operands>[^;]+);"
    ptx = re.sub(r"(?P<operation>(add|sub|mul|fma)(\.rn)?)\.f32x2" + rest, pair, ptx)
    return re.sub(r"(?P<operation>(add|sub|fma)(\.rn)?)\.f32\.f16" + rest, mixed, ptx)


def optimise(module, target):
    """PTX of a module in LLVM's language as clang writes it for nvptx64-nvidia-nvcl, unoptimised; or None, and what is wrong.

    `target`: sm_90 or sm_90a, the second where warps multiply together.
    """
    module = re.sub(r"^target triple = .*", 'target triple = "nvptx64-nvidia-cuda"', module, flags=re.M)
    module = re.sub(r"^target datalayout = .*", f'target datalayout = "{LAYOUT}"', module, flags=re.M)
    data = (module + "\n!nvvmir.version = !{!99999}\n!99999 = !{i32 2, i32 0, i32 3, i32 2}\n").encode()
    nvvm, program = library(), ctypes.c_void_p()
    nvvm.nvvmCreateProgram(ctypes.byref(program))
    try:
        options = (ctypes.c_char_p * 1)(f"-arch={ARCHITECTURE.replace('sm', 'compute')}".encode())
        if nvvm.nvvmAddModuleToProgram(program, data, ctypes.c_size_t(len(data)), b"program") or nvvm.nvvmCompileProgram(program, 1, options):
            return None, text(program, nvvm.nvvmGetProgramLogSize, nvvm.nvvmGetProgramLog).strip()[:2000]
        made = text(program, nvvm.nvvmGetCompiledResultSize, nvvm.nvvmGetCompiledResult)
        return for_hopper(made.replace(f".target {ARCHITECTURE}", f".target {target}")), None
    finally:
        nvvm.nvvmDestroyProgram(ctypes.byref(program))


def main():
    words = sys.argv[1:]
    to = pathlib.Path(words[words.index("-o") + 1])
    with tempfile.TemporaryDirectory() as folder:
        module = f"{folder}/module.ll"
        words[words.index("-o") + 1] = module
        run = subprocess.run(
            [os.environ.get("NVVM_CLANG", "clang-19")] + words + ["-emit-llvm", "-Xclang", "-disable-llvm-passes"], capture_output=True, text=True)
        if run.returncode:
            sys.exit(run.stderr)
        made, problem = optimise(pathlib.Path(module).read_text(), "sm_90a")
    if problem:
        sys.exit(f"error: libnvvm: {problem}")
    to.write_text(made)


if __name__ == "__main__":
    main()
