"""Build the C parts: the static loader (embedded as bytes) and the cffi module pylibos.tracer._shim around the shim.

Used by setuptools (cffi_modules in pyproject.toml) and by scripts/pylibos on first use (``python build_shim.py --out DIR``).
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
SOURCES = ("loop.c", "trace.c", "guest.c", "names.c", "spawn.c")
LOADER_BASE = 0x5F0000000000
PLAN_ADDRESS = LOADER_BASE + 0x10000
"""Where struct exec_plan stands in the loader: its .bss is placed there by the linker and holds nothing else."""
LOADER_FLAGS = (
    "-O2 -Wall -Wextra -static -nostdlib -ffreestanding -fno-stack-protector -fno-pic -no-pie -mcmodel=large -fcf-protection=none "
    "-fno-asynchronous-unwind-tables -s -Wl,-z,noexecstack,-z,norelro -Wl,--build-id=none "
    f"-Wl,-Ttext-segment={LOADER_BASE:#x} -Wl,--section-start=.bss={PLAN_ADDRESS:#x}"
).split()


def loader_image() -> bytes:
    """Compile and link the freestanding loader; the ELF file's bytes."""
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "pylibos-loader"
        subprocess.run(["gcc", *LOADER_FLAGS, "-o", str(target), str(HERE / "loader.c")], check=True)
        return target.read_bytes()


def declarations() -> str:
    """The header as cffi's parser wants it: constants, structs and prototypes without preprocessor lines."""
    text = re.sub(r"/\*.*?\*/", "", (HERE / "shim.h").read_text(), flags=re.DOTALL)
    text = re.sub(r"#define SHIM_CALLS (\d+)", r"", text.replace("[SHIM_CALLS]", "[1024]"))
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return "\n".join(lines) + "\nextern const unsigned char shim_loader[];\nextern const size_t shim_loader_size;\n"


def make_builder(sources: Path = HERE) -> FFI:
    """The cffi builder of pylibos.tracer._shim. sources: this directory, as the build system wants it named."""
    builder = FFI()
    builder.cdef(declarations())
    image = loader_image()
    array = ",".join(str(byte) for byte in image)
    builder.set_source(
        "pylibos.tracer._shim",
        '#include "shim.h"\n'
        f"const unsigned char shim_loader[] = {{{array}}};\nconst size_t shim_loader_size = sizeof shim_loader;\n",
        sources=[str(sources / name) for name in SOURCES],
        include_dirs=[str(HERE)],
        extra_compile_args=["-O2", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers"],
        py_limited_api=True,
    )
    return builder


def main() -> int:
    """Compile into --out DIR (the module file lies at DIR/pylibos/tracer/); print its path."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        make_builder().compile(tmpdir=scratch)
        built = next(Path(scratch).rglob("_shim*.so"))
        arguments.out.mkdir(parents=True, exist_ok=True)
        target = arguments.out / "_shim.abi3.so"
        temporary = target.with_suffix(".tmp")
        temporary.write_bytes(built.read_bytes())
        temporary.replace(target)
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
else:
    ffibuilder = make_builder(Path(os.path.relpath(HERE)))  # setuptools takes relative paths only
