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

// ±(a × b) ± c: bit 0 of `signs` negates a, bit 1 negates c.
sfpi_inline Lanes multiply_add(Lanes a, Lanes b, Lanes c, unsigned signs = 0) {
    Lanes d;
    asm volatile(".ttinsn %[w]+(lreg_%[a]<<16)+(lreg_%[b]<<12)+(lreg_%[c]<<8)+(lreg_%[d]<<4)"
                 : [d] "=cf"(d)
                 : [a] "cf"(a), [b] "cf"(b), [c] "cf"(c), [w] "i"(TT_OP_SFPMAD(0, 0, 0, 0, signs)));
    return d;
}

// Registers 9 and 10 are 0 and 1.
sfpi_inline Lanes multiply(Lanes a, Lanes b) {
    Lanes d;
    asm volatile(".ttinsn %[w]+(lreg_%[a]<<16)+(lreg_%[b]<<12)+(lreg_%[d]<<4)"
                 : [d] "=cf"(d)
                 : [a] "cf"(a), [b] "cf"(b), [w] "i"(TT_OP_SFPMUL(0, 0, 9, 0, 0)));
    return d;
}

sfpi_inline Lanes add(Lanes b, Lanes c, unsigned signs = 0) {
    Lanes d;
    asm volatile(".ttinsn %[w]+(lreg_%[b]<<12)+(lreg_%[c]<<8)+(lreg_%[d]<<4)"
                 : [d] "=cf"(d)
                 : [b] "cf"(b), [c] "cf"(c), [w] "i"(TT_OP_SFPMAD(10, 0, 0, 0, signs)));
    return d;
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

sfpi_inline Lanes load(unsigned format, unsigned address_mode, unsigned address) {
    return make(TT_OP_SFPLOAD(0, format, address_mode, address));
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
