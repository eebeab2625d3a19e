"""What the emulator must notice: small kernels that a GPU would not run as meant, and the program's own without an instruction."""

import ctypes
import shutil
import subprocess

# Bytes of y and of x, and of shared memory.
BYTES, SHARED = 1024, 256
KERNEL = """.version 8.0
.target sm_90a
.address_size 64
.visible .entry f(
	.param .u64 .ptr .global .align 4 y,
	.param .u64 .ptr .global .align 4 x,
	.param .u64 .ptr .shared .align 4 memory
)
{
	.reg .pred %p<4>;
	.reg .b32 %r<8>;
	.reg .f32 %f<4>;
	.reg .b64 %rd<12>;
	ld.param.u64 %rd0, [y];
	ld.param.u64 %rd1, [x];
	ld.param.u64 %rd2, [memory];
	mov.u32 %r0, %tid.x;
	mov.u32 %r1, %ctaid.x;
	mul.wide.u32 %rd3, %r0, 4;
	add.u64 %rd4, %rd0, %rd3;
	add.u64 %rd5, %rd1, %rd3;
	add.u64 %rd6, %rd2, %rd3;
	xor.b32 %r2, %r0, 1;
	mul.wide.u32 %rd3, %r2, 4;
	add.u64 %rd7, %rd2, %rd3;
	setp.lt.u32 %p0, %r0, 16;
	setp.lt.u32 %p1, %r0, 32;
BODY
	ret;
}
"""
# Two groups of 64 items unless it says one. By what is wrong: the body, how many groups, what is said.
KERNELS = [
    ("nothing", "ld.global.f32 %f0, [%rd5]; st.shared.f32 [%rd6], %f0; bar.sync 0; ld.shared.f32 %f1, [%rd7]; st.global.f32 [%rd4], %f1;", 1, None),
    ("a vector at an odd word", "ld.global.v2.f32 {%f0, %f1}, [%rd5];", 1, "is not aligned to 8 bytes"),
    ("a shared vector at an odd word", "ld.shared.v2.f32 {%f0, %f1}, [%rd6+4];", 1, "is not aligned to 8 bytes"),
    ("beyond a buffer", "ld.global.f32 %f0, [%rd5+1020];", 1, "memory of none of its buffers, 4 bytes from one"),
    ("before a buffer", "ld.global.f32 %f0, [%rd5+-4];", 1, "memory of none of its buffers"),
    ("beyond shared memory", "st.shared.f32 [%rd6+4], 0f00000000;", 1, "bytes from the group's 256"),
    ("shared memory that nobody wrote", "ld.shared.f32 %f0, [%rd6];", 1, "nobody wrote"),
    ("no barrier between a store and a load", "st.shared.f32 [%rd6], 0f00000000; ld.shared.f32 %f0, [%rd7];", 1, "without a barrier between"),
    ("no barrier between a load and a store",
     "st.shared.f32 [%rd6], 0f00000000; bar.sync 0; ld.shared.f32 %f0, [%rd7]; st.shared.f32 [%rd6], %f0;", 1, "without a barrier between"),
    ("two items' stores to one place in shared memory", "st.shared.f32 [%rd2], 0f00000000;", 1, "write one place in shared memory"),
    ("two items' stores to one place", "st.global.f32 [%rd0], 0f00000000;", 1, "global memory that item 0 writes without a barrier"),
    ("two groups' stores to one place", "st.global.f32 [%rd4], 0f00000000;", 2, "global memory that group"),
    ("a store where another group loads", "ld.global.f32 %f0, [%rd4]; setp.eq.u32 %p2, %r1, 1; @%p2 st.global.f32 [%rd4], %f0;", 2, "group"),
    ("a barrier for a part of a warp", "@%p0 bar.sync 0;", 1, "a part of a warp's items is at the barrier"),
    ("a barrier behind which a part of a warp goes", "@%p0 bra $A; bar.sync 0; bra $B; $A: mov.u32 %r3, 0; bar.sync 0; $B: mov.u32 %r3, 1;", 1,
     "a part of a warp is here"),
    ("a barrier that a warp does not reach", "@%p1 ret; bar.sync 0;", 1, "others wait for them at a barrier"),
    ("a copy that nobody waits for", "cvt.u32.u64 %r3, %rd6; cp.async.ca.shared.global [%r3], [%rd5], 4;", 1, "copies or products are on their way"),
    ("a copy that is read at once",
     "cvt.u32.u64 %r3, %rd6; cp.async.ca.shared.global [%r3], [%rd5], 4; ld.shared.f32 %f0, [%rd6]; cp.async.wait_all;", 1, "a copy is on its way to"),
    ("an instruction that is not known", "vote.sync.all.pred %p2, %p0, -1;", 1, "is not known"),
    ("a rounding that is not made", "add.rp.f32 %f0, %f1, %f2;", 1, "does not make it"),
    ("no register", "mov.u32 %r3, %r99;", 1, "%r99 is not known"),
]
# What instructions give that NVIDIA's compiler writes and clang does not, by the PTX ISA: into %r3, or as fp32 into %f1.
RESULTS = [
    ("bfi.b32 %r3, 5, 0xffff00ff, 4, 4;", 0xffff005f),
    ("prmt.b32 %r3, 0x44332211, 0x88776655, 0x1054;", 0x22116655),
    ("prmt.b32 %r3, 0x44332211, 0x88776655, 0x321f;", 0x443322ff),
    ("cvt.sat.f32.f32 %f1, 0f40200000;", 0x3f800000),
    ("cvt.sat.f32.f32 %f1, 0fbf800000;", 0),
    ("cvt.sat.f32.f32 %f1, 0f7fc00000;", 0),
    ("fma.rm.f32 %f1, 0f3f800000, 0f3f800000, 0fb0800000;", 0x3f7fffff),
    ("add.rz.f32 %f1, 0f3f800000, 0f33c00000;", 0x3f800000),
    ("ex2.approx.ftz.f32 %f1, 0fc2fe0000;", 0),
    ("ex2.approx.f32 %f1, 0fc2fe0000;", 0x400000),
]
# Instructions that order others or move words: without each, matrix units or what is beside them must not be used.
INSTRUCTIONS = ["mma.sync", "ldmatrix.", "cp.async.ca", "cp.async.wait_all", "wgmma.mma_async", "wgmma.fence", "wgmma.commit_group",
                "wgmma.wait_group", "fence.proxy.async", "bar.sync"]


class Range(ctypes.Structure):
    _fields_ = [("begin", ctypes.c_size_t), ("end", ctypes.c_size_t), ("touched", ctypes.c_void_p)]


class Launch(ctypes.Structure):
    _fields_ = [("kernel", ctypes.c_void_p), ("module", ctypes.c_void_p), ("parameters", ctypes.c_void_p), ("shared_bytes", ctypes.c_int),
                ("ranges", ctypes.c_void_p), ("range_count", ctypes.c_int), ("groups", ctypes.c_uint * 3), ("items", ctypes.c_uint * 3),
                ("counts_to", ctypes.c_char_p)]


def said(layer, body, groups, target="sm_90a"):
    """What the emulator says of a kernel; None where nothing."""
    layer.ptx_read.restype = ctypes.c_void_p
    problem = ctypes.create_string_buffer(1024)
    module = layer.ptx_read(KERNEL.replace("sm_90a", target).replace("BODY", body).encode(), problem, 1024)
    if not module:
        return problem.value.decode()
    # y and x apart from each other, aligned to 256 bytes.
    memory = ctypes.create_string_buffer(8 * BYTES)
    begin = (ctypes.addressof(memory) + 255) & ~255
    places = [begin, begin + 4 * BYTES]
    parameters = (ctypes.c_uint64 * 3)(*places, 1024)
    ranges = (Range * 2)(*[(place, place + BYTES, None) for place in places])
    # Module begins with its kernels.
    kernels = ctypes.cast(module, ctypes.POINTER(ctypes.c_void_p))[0]
    launch = Launch(kernels, module, ctypes.addressof(parameters), SHARED, ctypes.addressof(ranges), 2, (groups, 1, 1), (64, 1, 1), None)
    return problem.value.decode() if layer.ptx_run(ctypes.byref(launch), problem, 1024) else None


def of_kernels(path):
    """The kernels of which something else was said than should be."""
    layer, wrong = ctypes.CDLL(str(path)), []
    for name, body, groups, expected in KERNELS:
        got = said(layer, body, groups)
        right = got is None if expected is None else got is not None and expected in got
        print(f"{'noticed' if expected else 'passed'}: {name}" if right else f"WRONG: {name}: {got}")
        wrong += [] if right else [name]
    # Where arrays begin in shared memory: what an array is aligned to beyond its declaration is luck.
    for used in range(0, 300, 4):
        for align in [1, 2, 4, 8, 16, 128]:
            begin = layer.ptx_place(used, align)
            if not used <= begin < used + 2 * align or begin % align or begin % (2 * align) == 0:
                wrong.append(f"an array of alignment {align} at {begin} behind {used}")
    got = said(layer, "wgmma.fence.sync.aligned;", 1, "sm_90")
    print(f"noticed: wgmma for sm_90: {got}")
    return wrong + ([] if got and "is for sm_90a" in got else ["wgmma for sm_90"])


def of_results(path):
    """The instructions that give something else than they should, and those of which a wrong number would not be noticed."""
    layer, wrong = ctypes.CDLL(str(path)), []

    def is_given(code, number):
        move = "mov.b32 %r3, %f1; " if "%f1" in code else ""
        # An address of nobody's, where it is another number.
        return said(layer, f"{code} {move}setp.ne.u32 %p1, %r3, {number}; mov.u64 %rd8, 16; @%p1 ld.global.f32 %f0, [%rd8];", 1) is None

    for code, expected in RESULTS:
        right = is_given(code, expected) and not is_given(code, expected ^ 1)
        print(f"{'right' if right else 'WRONG'}: {code}")
        wrong += [] if right else [code]
    return wrong


def of_instructions(program, environment, folder):
    """The instructions without which matrix units are used as with them."""
    def findings(without):
        # An answer is kept: a cache of its own.
        shutil.rmtree(folder, ignore_errors=True)
        made = environment | {"PTX_EMULATOR_WITHOUT": without, "XDG_CACHE_HOME": str(folder)}
        run = subprocess.run([program, "devices"], env=made, capture_output=True, text=True)
        lines = [line.strip() for line in (run.stdout + run.stderr).splitlines()]
        return [line for line in lines if line.startswith(("matrix units", "cp.async and ldmatrix:", "wgmma:"))], \
               [line for line in lines if line.startswith("ptx-emulator:")]

    plain, problems = findings("")
    if problems or len(plain) != 3 or "mma.sync gives right products in every precision" not in plain[0] or any(
            not line.endswith(": used") for line in plain[1:]):
        return [f"matrix units are not used as they are: {'; '.join(plain + problems)}"]
    wrong = []
    for without in INSTRUCTIONS:
        found, problems = findings(without)
        print(f"{'WRONG' if found == plain else 'noticed'}: no {without}: {(problems or found)[0][:160]}")
        wrong += [f"no {without}"] if found == plain else []
    return wrong
