"""What check-ptx, check-amdgcn and check-intel share: the kernels that the model launches, and their table in docs/gpu.md."""

import concurrent.futures
import datetime
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIZES = [("256", "16", "16"), ("2048", "64", "1")]
CLANG = "19"
# OpenCL's functions, unpacked: Debian's PoCL and Mesa have another version of it installed.
FUNCTIONS = ROOT / ".build-libclc"  # ignored by git, as every .build-* is
KEYS = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PRECISIONS = ["fp32", "fp32-fast", "tf32", "bf16"]
NAME = pathlib.Path(sys.argv[0]).name


def fail(text):
    sys.exit(f"{NAME}: {text}")


def options():
    unknown = set(sys.argv[1:]) - {"--write", "--install"}
    if unknown:
        fail(f"there is no option {' '.join(sorted(unknown))}; there are --write and --install.")


def update_packages(root):
    subprocess.run(root + ["apt-get", "update", "-qq"], check=True, stdout=sys.stderr)


def unpack_packages(folder, packages):
    """Debian's, unpacked into a folder and not installed. `version` there is the first one's, written when all is in place."""
    if (folder / "version").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    archives = folder / "packages"
    archives.mkdir(parents=True)
    archives.chmod(0o777)  # apt's own user writes here
    if os.geteuid() == 0:
        update_packages([])
    subprocess.run(["apt-get", "download", "-qq"] + packages, check=True, cwd=archives, stdout=sys.stderr, stderr=subprocess.DEVNULL)
    for archive in sorted(archives.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(archive), str(folder)], check=True)
    first = next(archives.glob(f"{packages[0]}_*.deb"))
    version = subprocess.run(["dpkg-deb", "-f", str(first), "Version"], check=True, capture_output=True, text=True).stdout
    shutil.rmtree(archives)
    (folder / "version").write_text(version)


def unpack_suite(folder, suite, packages):
    """Packages of another Debian than this one ("trixie main"), unpacked into a folder and not installed. `complete` there is written last."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "lists/partial").mkdir(parents=True)
    (folder / "packages").mkdir()
    for place in [folder, folder / "packages"]:
        place.chmod(0o777)  # apt's own user writes here
    KEYS.stat()
    targets = subprocess.run(["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"], capture_output=True, text=True).stdout
    site = next((line for line in targets.split() if line.rstrip("/").endswith("/debian")), "http://deb.debian.org/debian")
    (folder / "sources.list").write_text(f"deb [signed-by={KEYS}] {site} {suite}\n")
    ours = ["-o", f"Dir::Etc::sourcelist={folder}/sources.list", "-o", "Dir::Etc::sourceparts=-", "-o", f"Dir::State::lists={folder}/lists"]
    subprocess.run(["apt-get", *ours, "update", "-qq"], check=True, stdout=sys.stderr)
    subprocess.run(["apt-get", *ours, "download", "-qq", *packages], check=True, cwd=folder / "packages", stdout=sys.stderr, stderr=subprocess.DEVNULL)
    for archive in sorted((folder / "packages").glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(archive), str(folder)], check=True)
    shutil.rmtree(folder / "packages")
    shutil.rmtree(folder / "lists")
    (folder / "complete").touch()


def install_clang():
    if not os.path.exists(f"/usr/bin/clang-{CLANG}"):
        root = [] if os.geteuid() == 0 else ["sudo"]
        update_packages(root)
        subprocess.run(
            root + ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-qq", "-y", "--no-install-recommends",
                    f"clang-{CLANG}"], check=True, stdout=sys.stderr)
    unpack_packages(FUNCTIONS, [f"libclc-{CLANG}"])


def library(target):
    return str(FUNCTIONS / f"usr/lib/clc/{target}.bc")


def missing_clang(target):
    """What is not there, by name."""
    there = {f"clang-{CLANG}": f"/usr/bin/clang-{CLANG}", f"libclc-{CLANG}": library(target)}
    return [what for what, path in there.items() if not os.path.exists(path)]


def program():
    for path in [os.environ.get("GLOMSEG"), ROOT / ".build-test/release/glomseg", ROOT / ".build/release/glomseg"]:
        if path and os.access(path, os.X_OK):
            return str(path)
    fail("glomseg is not built: run 'make build' first.")


def launches(asked):
    """By file and macros: the (function, items, local bytes) that the model launches with `asked`, kernels and a precision each."""
    found = set()
    stored = [(SIZES[0], "fp32", "fp32"), (SIZES[1], "fp32", "fp32"), (SIZES[1], "fp16", "fp32"), (SIZES[1], "fp16", "bf16")]
    for (patch, base, batch), activations, gradients in stored:
        for kernels, precision in asked:
            out = subprocess.run(
                [program(), "plan", "--patch", patch, "--base", base, "--batch", batch, "--kernels", kernels, "--precision", precision,
                 "--activations", activations, "--gradients", gradients], check=True, capture_output=True, text=True).stdout
            for line in out.splitlines():
                file, function, items, local, *macros = line.split()
                found.add((file, function, int(items), int(local), tuple(macros)))
    if not found:
        fail("the plan names no kernels.")
    programs = {}
    for file, function, items, local, macros in sorted(found):
        programs.setdefault((file, macros), []).append((function, items, local))
    return programs


def compile_kernel(to, file, macros, flags):
    """What the compiler says against it; None where it takes it."""
    run = subprocess.run(
        [f"clang-{CLANG}", "-x", "cl", "-cl-std=CL1.2", "-Wno-everything", "-O3", "-Xclang", "-finclude-default-header"]
        + flags + [f"-D{macro}" for macro in macros] + ["-I.", "-include", "prelude.clh", "-S", "-o", to, file],
        cwd=ROOT / "Sources/Kernels", capture_output=True, text=True)
    return None if run.returncode == 0 else run.stderr.strip()[:2000]


def source(file, between=""):
    """A kernel file as the host hands it over: the prelude before it, its headers in their place. `between`: text before the file's own."""
    def whole(name):
        lines = []
        for line in (ROOT / "Sources/Kernels" / name).read_text().splitlines():
            header = re.match(r'#include "(.*)"', line)
            lines.append(whole(header[1]) if header else line)
        return "\n".join(lines) + "\n"

    return whole("prelude.clh") + between + whole(file)


def all_programs(programs, work):
    """The problems and rows that `work` finds, given a folder and (number, ((file, macros), functions))."""
    problems, rows = [], []
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for found, lines in pool.map(lambda job: work(folder, job), enumerate(programs.items())):
            problems += found
            rows += lines
    return problems, rows


def precision(macros):
    values = dict(macro.split("=") for macro in macros)
    if "ELEMENT" not in values:
        return ""
    return {"02": "fp32", "21": "fp32", "12": "fp32-fast", "01": "tf32", "11": "bf16"}[values["ELEMENT"] + values["PARTS"]]


def span(values):
    return f"{min(values)}" if min(values) == max(values) else f"{min(values)}–{max(values)}"


def kinds(rows):
    """The rows of each kernel and precision, in the table's order."""
    order = {name: index for index, name in enumerate(["", *PRECISIONS, *(f"{name}, together" for name in PRECISIONS)])}
    for key in sorted({row[:2] for row in rows}, key=lambda key: (key[0], order[key[1]])):
        yield key, [row for row in rows if row[:2] == key]


def report(text, problems, count, mark, heading, done):
    """Prints the table and the problems; fails where there are some; with --write, puts it between the marks in docs/gpu.md."""
    print(text)
    for problem in problems:
        print(f"{NAME}: {problem}", file=sys.stderr)
    if problems:
        fail(f"{len(problems)} problems in {count} programs.")
    if "--write" in sys.argv:
        path = ROOT / "docs/gpu.md"
        begin, end = f"<!-- {mark} begins -->", f"<!-- {mark} ends -->"
        page = path.read_text()
        if begin not in page or end not in page:
            fail(f"{path.name} has no place for the table")
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
        heading = f"Written on {datetime.date.today()} by `Scripts/{NAME} --write` at commit {commit}: {heading}\n\n"
        path.write_text(page.split(begin)[0] + begin + "\n" + heading + text + "\n" + end + page.split(end)[1])
    print(f"{NAME}: {done}")
