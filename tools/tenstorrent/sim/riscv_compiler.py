"""Compiles TT-Metalium's kernels and firmware for a simulated Blackhole, with the clang and lld of PyPI's ziglang.

Stands in for Tenstorrent's kernel compiler (SFPI), which is in no package registry: it takes the command lines that
TT-Metalium writes for that one. What it makes runs on a simulator. It refuses to answer for a card.
"""

import os
import re
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

# The wheel looks for this one.
VERSION = "riscv-tt-elf-g++ (tenstorrent/sfpi:7.89.0[1050]) 15.1.0"
HERE = Path(__file__).resolve().parent

# Clang's name of the cores' instruction set.
CORE = "generic_rv32+m+zicsr+zba+zbb"

CODE = [
    # Loops that clear or copy L1 are no calls of functions that are not there.
    "-fno-builtin",
    # A table would be data of the core's small local memory.
    "-fno-jump-tables",
    # What a kernel does not call takes no room.
    "-ffunction-sections",
    "-fno-pic",
    "-fno-sanitize=all",
    "-fomit-frame-pointer",
    "-fno-stack-protector",
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
    "-g0",
    # Addresses are final: the loader moves what it loads by these relocations.
    "-mno-relax",
]

CPP = [
    # Lambdas and structures are template arguments in kernels; SFPI's C++17 has them as an extension.
    "-std=c++20",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-use-cxa-atexit",
    "-fno-threadsafe-statics",
    # There is a main, and no library.
    "-fhosted",
    "-U__STDC_HOSTED__",
    "-D__STDC_HOSTED__=0",
    # Newlib's, which SFPI comes with: overloads in kernels tell it from unsigned int.
    "-U__UINT32_TYPE__",
    "-D__UINT32_TYPE__=long unsigned int",
    "-U__INT32_TYPE__",
    "-D__INT32_TYPE__=long int",
    "-D__DEFINED_uint32_t",
    "-D__DEFINED_int32_t",
    *(
        f"-D_LIBCPP_{setting}"
        for setting in (
            "ABI_VERSION=1",
            "ABI_NAMESPACE=__1",
            "HAS_THREADS=0",
            "HAS_MONOTONIC_CLOCK=0",
            "HAS_MUSL_LIBC=1",
            "HARDENING_MODE_DEFAULT=2",
            "ASSERTION_SEMANTIC_DEFAULT=2",
        )
    ),
    "-include",
    "cstddef",
]

# TT-Metalium's own warnings: errors in a kernel of this package, nobody's business in one of the wheel.
WARNINGS = [
    "-Wall",
    "-Wsign-compare",
    "-Werror",
    # TT-Metalium gives its compiler a precompiled header, which clang reads as the source that is beside it.
    "-Wno-ignored-gch",
    "-Wno-builtin-macro-redefined",
    "-Wno-unknown-pragmas",
    "-Wno-unknown-attributes",
    "-Wno-error=deprecated-declarations",
    "-Wno-error=parentheses",
    "-Wno-error=unused-but-set-variable",
    "-Wno-unused-variable",
    "-Wno-unused-function",
    "-Wno-missing-template-arg-list-after-template-kw",
]

# The instruction word with both registers 0: tt-isa-documentation, SFPMOV.md.
SFPMOV_ALL_LANES = 0x7C000002

# Clang's registers that play the vector unit's 0 to 7: include/target.h.
VECTOR_REGISTERS = ["fs0", "fs1", "fa0", "fa1", "fa2", "fa3", "fa4", "fa5"]

# Clang refuses what g++ only warns of.
NO_WARNINGS = ["-w", "-Wno-error=missing-template-arg-list-after-template-kw"]

# Values of the ELF format.
SHT_RELA, R_RISCV_NONE = 4, 0


@dataclass
class Command:
    """One command line of TT-Metalium."""

    output: Path | None = None
    dependencies: Path | None = None
    script: str | None = None
    settings: list[str] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    link: list[str] = field(default_factory=list)
    is_header: bool = False

    @property
    def is_of_this_package(self) -> bool:
        """A kernel that TT-Metalium was given as source, and not as a file of the wheel."""
        names = [setting for setting in self.settings if setting.startswith("-DFULL_KERNEL_NAME=")]
        return any("Kernel_Source_Code/" in name for name in names)

    @property
    def is_firmware(self) -> bool:
        return "-DFW_BUILD" in self.settings

    @property
    def is_math(self) -> bool:
        """Of the thread whose instructions are those of the matrix and the vector unit."""
        return "-DCOMPILE_FOR_TRISC=1" in self.settings and not self.is_firmware

    @property
    def is_cpp(self) -> bool:
        """As g++, which reads C as C++."""
        return not self.inputs[0].endswith(".S")


def parse(arguments: list[str]) -> Command:
    command = Command()
    rest = iter(arguments)
    for argument in rest:
        if argument == "-o":
            command.output = Path(next(rest))
        elif argument == "-MF":
            command.dependencies = Path(next(rest))
        elif argument == "-x":
            command.is_header = next(rest) == "c++-header"
        elif argument == "-include":
            command.settings += ["-include", next(rest)]
        elif argument.startswith("-T"):
            command.script = argument[2:] or next(rest)
        elif argument.startswith("-Wl,"):
            command.link += argument[4:].split(",")
        elif argument.startswith("--just-symbols="):
            command.link.append(argument)
        elif argument.startswith(("-I", "-D")):
            command.settings.append(argument)
        elif not argument.startswith("-"):
            command.inputs.append(argument)
    return command


def zig() -> Path:
    return Path(os.environ["PI0_ZIG"])


def run(arguments: list) -> None:
    result = subprocess.run([str(argument) for argument in arguments])
    if result.returncode:
        sys.exit(result.returncode)


def headers(command: Command) -> list[str]:
    """Folders of ours, of zig's C++ library without a system below it, and those that the command names."""
    library = zig().resolve().parent / "lib"
    folders = ["-nostdinc", f"-I{HERE / 'include'}"]
    if command.is_cpp:
        folders += ["-include", str(HERE / "include/target.h"), f"-I{library}/libcxx/include"]
    folders += [f"-I{library}/include", "-isystem", f"{library}/libc/include/generic-musl"]
    folders += ["-isystem", f"{library}/libc/musl/arch/riscv32"]
    if not command.is_of_this_package:
        return folders + command.settings
    # The kernel is in the folder of the compilation; any other has headers of TT-Metalium, whose warnings are its own.
    return folders + [re.sub(r"^-I(?!\.)", "-isystem", setting) for setting in command.settings]


def options(command: Command) -> list[str]:
    chosen = [*CODE, *(CPP if command.is_cpp else []), *(WARNINGS if command.is_of_this_package else NO_WARNINGS)]
    # Kernels find the firmware's data by its symbols, so all of it is kept.
    if not command.is_firmware:
        chosen.append("-fdata-sections")
    if command.is_math:
        # It has no floats, so what its numbers are has to be known after inlining.
        return [*chosen, "-O2", "-mllvm", "-inline-threshold=100000"]
    # Room for kernels is small.
    return [*chosen, "-Os"]


def compile_one(command: Command) -> None:
    [source] = command.inputs
    # None: the wheel's files do not change, and what is compiled is kept by a name that tells this folder's contents.
    dependencies = command.dependencies or command.output.with_suffix(".d")
    dependencies.write_text(f"{command.output}:\n")
    compiler = [zig(), "c++" if command.is_cpp else "cc", "-target", "riscv32-freestanding-none", "-mabi=ilp32"]
    arguments = [*options(command), *headers(command), *(["-x", "c++"] if command.is_cpp else []), source]
    if not command.is_math:
        run([*compiler, f"-mcpu={CORE}", *arguments, "-c", "-o", command.output])
        return
    assembly = command.output.with_suffix(".s")
    run([*compiler, f"-mcpu={CORE}+f", *arguments, "-S", "-o", assembly])
    assembly.write_text(vector_moves(assembly.read_text(), source))
    run([*compiler, f"-mcpu={CORE}", "-c", assembly, "-o", command.output])


def vector_moves(assembly: str, source: str) -> str:
    """Makes a move of a floating-point register one of a register of the vector unit, in all lanes.

    The math thread has no floats of its own, and memory would not hold 32 lanes: any other such one is an error.
    """
    lines = []
    for line in assembly.splitlines():
        move = re.fullmatch(r"\s*fmv\.s\s+(\w+), (\w+)\s*", line)
        if move and all(register in VECTOR_REGISTERS for register in move.groups()):
            target, value = map(VECTOR_REGISTERS.index, move.groups())
            word = SFPMOV_ALL_LANES | value << 8 | target << 4
            line = f"\t.word {word >> 30 | (word & 0x3FFFFFFF) << 2}"
        elif re.match(r"\s*f(?!ence)[a-z]+[.\w]*\s", line):
            sys.exit(f"{source}: clang wants a ninth register, or floats on a core that has none: {line.strip()}")
        elif line.startswith("\t.attribute"):
            continue
        lines.append(line)
    return "\n".join(lines) + "\n"


def link(command: Command) -> None:
    arguments = [zig(), "ld.lld", "-m", "elf32lriscv", "--emit-relocs", "--gc-sections", "--no-relax"]
    arguments += ["-T", command.script, *command.link]
    # Copies of memory and arithmetic of floats, where the core has none.
    run([*arguments, *command.inputs, os.environ["PI0_RISCV_RUNTIME"], "-o", command.output])
    drop_empty_relocations(command.output)


def drop_empty_relocations(path: Path) -> None:
    """Takes entries out that lld leaves for sections it dropped; the loader refuses them."""
    image = bytearray(path.read_bytes())
    (sections_at,) = struct.unpack_from("<I", image, 32)
    entry_size, count = struct.unpack_from("<HH", image, 46)
    for index in range(count):
        header = sections_at + index * entry_size
        fields = list(struct.unpack_from("<10I", image, header))
        if fields[1] != SHT_RELA:
            continue
        offset, size = fields[4], fields[5]
        entries = [bytes(image[at : at + 12]) for at in range(offset, offset + size, 12)]
        kept = b"".join(entry for entry in entries if entry[4] != R_RISCV_NONE)
        image[offset : offset + len(kept)] = kept
        fields[5] = len(kept)
        struct.pack_into("<10I", image, header, *fields)
    path.write_bytes(image)


def main() -> None:
    if "TT_METAL_SIMULATOR" not in os.environ:
        sys.exit("This compiles for pi0_node's simulated card alone. For a card, install SFPI: docs/tenstorrent.md")
    if "--version" in sys.argv:
        print(VERSION)
        return
    command = parse(sys.argv[1:])
    if command.is_header:
        # Clang reads the header itself.
        command.output.touch()
    elif command.script:
        link(command)
    else:
        compile_one(command)


if __name__ == "__main__":
    main()
