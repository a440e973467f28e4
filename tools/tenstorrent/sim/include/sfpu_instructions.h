// Instructions of the vector unit (SFPU) on values that clang keeps in registers: the functional models are those of
// tt-isa-documentation, TensixCoprocessor/SFP*.md, and the encodings those of TT-Metalium's ckernel_ops.h.
//
// An instruction writes only the lanes that are enabled. What clang copies from one register to another becomes an SFPMOV of all lanes
// (riscv_compiler.py), so a copy is a copy wherever it is made. Everything is volatile: the order of instructions is that of the
// kernel, for predication depends on it.
#pragma once

#include <cstdint>

#include "ckernel_ops.h"

#define sfpi_inline __attribute__((always_inline)) inline

namespace sfpi::instruction {

// Lanes of one register, whatever their bits mean. (A float to clang, so that it is kept in one of the eight.)
using Lanes = float;

sfpi_inline void issue(std::uint32_t word) {
    asm volatile(".ttinsn %[w]" ::[w] "i"(word));
}

// VD = f(VC).
sfpi_inline Lanes of(std::uint32_t word, Lanes c) {
    Lanes d;
    asm volatile(".ttinsn %[w]+(lreg_%[c]<<8)+(lreg_%[d]<<4)" : [d] "=cf"(d) : [c] "cf"(c), [w] "i"(word));
    return d;
}

// VD = f(VC, VD).
sfpi_inline Lanes of(std::uint32_t word, Lanes c, Lanes d) {
    asm volatile(".ttinsn %[w]+(lreg_%[c]<<8)+(lreg_%[d]<<4)" : [d] "+cf"(d) : [c] "cf"(c), [w] "i"(word));
    return d;
}

// VD = f(VD).
sfpi_inline Lanes in_place(std::uint32_t word, Lanes d) {
    asm volatile(".ttinsn %[w]+(lreg_%[d]<<4)" : [d] "+cf"(d) : [w] "i"(word));
    return d;
}

// VD = f of a register that is a constant.
sfpi_inline Lanes constant(unsigned index) {
    Lanes d;
    asm volatile(".ttinsn %[w]+(lreg_%[d]<<4)" : [d] "=cf"(d) : [w] "i"(TT_OP_SFPMOV(0, index, 0, 0)));
    return d;
}

// The enabled lanes of `d` become those of `c`.
sfpi_inline void assign(Lanes &d, Lanes c) {
    d = of(TT_OP_SFPMOV(0, 0, 0, 0), c, d);
}

// A value, or the index of a register that is a constant.
struct Operand {
    Lanes lanes;
    unsigned constant;
};
constexpr unsigned NOT_CONSTANT = 0, ZERO = 9, ONE = 10;

// ±(a × b) ± c: bit 0 of `signs` negates a, bit 1 negates c. `output` says whether lanes that are not enabled keep what they have.
#define SFPU_A "+(lreg_%[a]<<16)"
#define SFPU_B "+(lreg_%[b]<<12)"
#define SFPU_C "+(lreg_%[c]<<8)"
#define SFPU_MULTIPLY_ADD_OF(output, text, ...)             \
    asm volatile(".ttinsn %[w]" text "+(lreg_%[d]<<4)"      \
                 : [d] output(d)                            \
                 : [w] "i"(TT_OP_SFPMAD(a.constant, b.constant, c.constant, 0, signs)), __VA_ARGS__)
#define SFPU_MULTIPLY_ADD(output)                                                                                         \
    if (a.constant == NOT_CONSTANT && b.constant == NOT_CONSTANT && c.constant == NOT_CONSTANT) {                         \
        SFPU_MULTIPLY_ADD_OF(output, SFPU_A SFPU_B SFPU_C, [a] "cf"(a.lanes), [b] "cf"(b.lanes), [c] "cf"(c.lanes));      \
    } else if (a.constant == NOT_CONSTANT && b.constant == NOT_CONSTANT) {                                                \
        SFPU_MULTIPLY_ADD_OF(output, SFPU_A SFPU_B, [a] "cf"(a.lanes), [b] "cf"(b.lanes));                                \
    } else if (a.constant == NOT_CONSTANT && c.constant == NOT_CONSTANT) {                                                \
        SFPU_MULTIPLY_ADD_OF(output, SFPU_A SFPU_C, [a] "cf"(a.lanes), [c] "cf"(c.lanes));                                \
    } else if (b.constant == NOT_CONSTANT && c.constant == NOT_CONSTANT) {                                                \
        SFPU_MULTIPLY_ADD_OF(output, SFPU_B SFPU_C, [b] "cf"(b.lanes), [c] "cf"(c.lanes));                                \
    } else if (a.constant == NOT_CONSTANT) {                                                                              \
        SFPU_MULTIPLY_ADD_OF(output, SFPU_A, [a] "cf"(a.lanes));                                                          \
    } else if (b.constant == NOT_CONSTANT) {                                                                              \
        SFPU_MULTIPLY_ADD_OF(output, SFPU_B, [b] "cf"(b.lanes));                                                          \
    } else {                                                                                                              \
        SFPU_MULTIPLY_ADD_OF(output, SFPU_C, [c] "cf"(c.lanes));                                                          \
    }

sfpi_inline Lanes multiply_add(Operand a, Operand b, Operand c, unsigned signs) {
    Lanes d;
    SFPU_MULTIPLY_ADD("=cf")
    return d;
}

// Into the enabled lanes of `d`.
sfpi_inline void multiply_add(Lanes &d, Operand a, Operand b, Operand c, unsigned signs) {
    SFPU_MULTIPLY_ADD("+cf")
}

// VD becomes the smaller and VC the larger, by sign and magnitude.
sfpi_inline void order(Lanes &smaller, Lanes &larger) {
    asm volatile(".ttinsn %[w]+(lreg_%[c]<<8)+(lreg_%[d]<<4)"
                 : [d] "+cf"(smaller), [c] "+cf"(larger)
                 : [w] "i"(TT_OP_SFPSWAP(0, 0, 0, 1)));
}

sfpi_inline Lanes round(unsigned mode, unsigned conversion, Lanes c) {
    return of(TT_OP_SFP_STOCH_RND(mode, 0, 0, 0, 0, conversion), c);
}

// Only lanes that are enabled stay so, where the comparison with 0 holds.
enum class Test : unsigned { Negative = 0, NotZero = 2, NotNegative = 4, Zero = 6 };

sfpi_inline void narrow(Lanes c, Test test) {
    asm volatile(".ttinsn %[w]+(lreg_%[c]<<8)" ::[c] "cf"(c), [w] "i"(TT_OP_SFPSETCC(0, 0, 0, unsigned(test))));
}

// A word with a number that is not known before the kernel runs is made when it does.
sfpi_inline Lanes make(std::uint32_t word) {
    Lanes d;
    if (__builtin_constant_p(word)) {
        asm volatile(".ttinsn %[w]+(lreg_%[d]<<20)" : [d] "=cf"(d) : [w] "i"(word));
    } else {
        std::uint32_t made;
        asm volatile("lui %[m],lreg_%[d]<<8\n\tadd %[m],%[m],%[w]\n\tsw %[m],0(%[b])"
                     : [d] "=cf"(d), [m] "=&r"(made)
                     : [w] "r"(word), [b] "r"(0xFFE40000u)
                     : "memory");
    }
    return d;
}

sfpi_inline void use(std::uint32_t word, Lanes &d) {
    if (__builtin_constant_p(word)) {
        asm volatile(".ttinsn %[w]+(lreg_%[d]<<20)" : [d] "+cf"(d) : [w] "i"(word));
    } else {
        std::uint32_t made;
        asm volatile("lui %[m],lreg_%[d]<<8\n\tadd %[m],%[m],%[w]\n\tsw %[m],0(%[b])"
                     : [d] "+cf"(d), [m] "=&r"(made)
                     : [w] "r"(word), [b] "r"(0xFFE40000u)
                     : "memory");
    }
}

enum LoadImmediate : unsigned { BFloat16 = 0, Float16 = 1, UInt16 = 2, Int16 = 4, Upper = 8, Lower = 10 };

sfpi_inline Lanes load_immediate(LoadImmediate mode, std::uint32_t half) {
    return make(TT_OP_SFPLOADI(0, unsigned(mode), half & 0xffff));
}

sfpi_inline Lanes load_bits(std::uint32_t bits) {
    if (__builtin_constant_p(bits) && (bits & 0xffff) == 0) {
        return load_immediate(BFloat16, bits >> 16);
    }
    Lanes d = load_immediate(UInt16, bits);
    if (!__builtin_constant_p(bits) || bits >> 16 != 0) {
        use(TT_OP_SFPLOADI(0, unsigned(Upper), bits >> 16), d);
    }
    return d;
}

// The same, into the enabled lanes.
sfpi_inline void load_bits(Lanes &d, std::uint32_t bits) {
    if (__builtin_constant_p(bits) && (bits & 0xffff) == 0) {
        use(TT_OP_SFPLOADI(0, unsigned(BFloat16), bits >> 16), d);
        return;
    }
    use(TT_OP_SFPLOADI(0, unsigned(UInt16), bits & 0xffff), d);
    if (!__builtin_constant_p(bits) || bits >> 16 != 0) {
        use(TT_OP_SFPLOADI(0, unsigned(Upper), bits >> 16), d);
    }
}

sfpi_inline Lanes load(unsigned format, unsigned address_mode, unsigned address) {
    return make(TT_OP_SFPLOAD(0, format, address_mode, address));
}

sfpi_inline void load(Lanes &d, unsigned format, unsigned address_mode, unsigned address) {
    use(TT_OP_SFPLOAD(0, format, address_mode, address), d);
}

sfpi_inline void store(Lanes d, unsigned format, unsigned address_mode, unsigned address) {
    use(TT_OP_SFPSTORE(0, format, address_mode, address), d);
}

// Constants that a kernel sets are written from register 0.
sfpi_inline void set_constant(unsigned index, Lanes value) {
    register Lanes first asm("fs0") = value;
    asm volatile(".ttinsn %[w]" ::[w] "i"(TT_OP_SFPCONFIG(0, index, 0)), "f"(first));
}

}  // namespace sfpi::instruction
