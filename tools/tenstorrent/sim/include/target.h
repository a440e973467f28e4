// What clang and lld lack of SFPI's compiler. Included before every source.
#pragma once

// lld drops an empty segment of data, and TT-Metalium's loader wants one.
asm(".pushsection .data.kept,\"awR\",@progbits\n"
    "  .word 0\n"
    ".popsection");

// The Tensix instruction of a word, in the place of a RISC-V one: tt-isa-documentation, PushTensixInstruction.md.
asm(".macro .ttinsn word\n"
    "  .4byte (((\\word) >> 30) & 3) | (((\\word) & 0x3fffffff) << 2)\n"
    ".endm");

// The eight registers of the vector unit are played by those floating-point registers that a compressed instruction can name.
asm(".set lreg_fs0, 0\n"
    ".set lreg_fs1, 1\n"
    ".set lreg_fa0, 2\n"
    ".set lreg_fa1, 3\n"
    ".set lreg_fa2, 4\n"
    ".set lreg_fa3, 5\n"
    ".set lreg_fa4, 6\n"
    ".set lreg_fa5, 7");
