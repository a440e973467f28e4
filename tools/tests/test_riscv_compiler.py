"""The compiler of kernels for the simulated Tenstorrent card, as far as it is not clang."""

import importlib.util
import struct
from pathlib import Path

import pytest

PATH = Path(__file__).parents[1] / "tenstorrent/sim/riscv_compiler.py"


@pytest.fixture
def compiler():
    specification = importlib.util.spec_from_file_location("riscv_compiler", PATH)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_a_move_becomes_one_of_all_lanes(compiler):
    # SFPMOV: opcode 0x7c, VC at bit 8, VD at bit 4, mode 2; a Tensix word is rotated left by two in a RISC-V one.
    moved = compiler.vector_moves("\tadd\ta0, a1, a2\n\tfmv.s\tfa5, fs1\n", "kernel.cc")
    assert moved == f"\tadd\ta0, a1, a2\n\t.word {(0x7C000172 << 2 | 0x7C000172 >> 30) & 0xFFFFFFFF}\n"


@pytest.mark.parametrize(
    "line",
    [
        "fsw\tfa5, 16(sp)                    # 4-byte Folded Spill",
        "fdiv.s\tfa5, fa4, fa5",
        "fmv.w.x\tfa4, a0",
        "fmv.s\tft0, fa5",
    ],
)
def test_what_the_vector_unit_cannot_do_is_refused(compiler, line):
    with pytest.raises(SystemExit, match=r"kernel\.cc: clang wants a ninth register"):
        compiler.vector_moves(f"\t{line}\n", "kernel.cc")


def test_a_fence_is_no_float(compiler):
    assert compiler.vector_moves("\tfence\n", "kernel.cc") == "\tfence\n"


def test_command_lines_are_those_of_tt_metalium(compiler):
    line = "-O3 -std=c++17 -flto=1 -I. -I/wheel/inc -DCOMPILE_FOR_TRISC=1 -c -o k.o /wheel/trisck.cc -MF k.d"
    command = compiler.parse(line.split())
    assert (str(command.output), str(command.dependencies), command.inputs) == ("k.o", "k.d", ["/wheel/trisck.cc"])
    assert command.settings == ["-I.", "-I/wheel/inc", "-DCOMPILE_FOR_TRISC=1"]
    assert command.is_math and not command.is_of_this_package and command.script is None
    line = (
        "-Os -Wl,-z,max-page-size=16 -T/wheel/kernel.ld -Wl,--emit-relocs a.o -Wl,--just-symbols=firmware.elf -o k.elf"
    )
    command = compiler.parse(line.split())
    assert command.script == "/wheel/kernel.ld" and command.inputs == ["a.o"]
    assert command.link == ["-z", "max-page-size=16", "--emit-relocs", "--just-symbols=firmware.elf"]


def test_empty_relocations_are_taken_out(compiler, tmp_path):
    # A header, three relocations of which the second is empty, and a section of them.
    relocations = [struct.pack("<IIi", 4 * index, kind, 0) for index, kind in enumerate([26, 0, 27])]
    sections_at = 52 + 36
    header = bytearray(52)
    struct.pack_into("<I", header, 32, sections_at)
    struct.pack_into("<HH", header, 46, 40, 1)
    section = struct.pack("<10I", 0, compiler.SHT_RELA, 0, 0, 52, 36, 0, 0, 4, 12)
    image = tmp_path / "kernel.elf"
    image.write_bytes(bytes(header) + b"".join(relocations) + section)
    compiler.drop_empty_relocations(image)
    found = image.read_bytes()
    assert struct.unpack_from("<10I", found, sections_at)[5] == 24
    assert found[52:76] == relocations[0] + relocations[2]
