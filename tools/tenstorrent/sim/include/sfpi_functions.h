// Functions of lanes.
#pragma once

#include "sfpi_registers.h"

namespace sfpi {

enum class ExponentMode { Unbiased = SFPEXEXP_MOD1_DEBIAS, Biased = SFPEXEXP_MOD1_NODEBIAS };
enum class MantissaMode { FractionOnly = SFPEXMAN_MOD1_PAD9, ImplicitOne = SFPEXMAN_MOD1_PAD8, WithUnitBit = ImplicitOne };

sfpi_inline vInt exexp(vFloat value, ExponentMode mode = ExponentMode::Unbiased) {
    return vInt(Raw{instruction::of(TT_OP_SFPEXEXP(0, 0, 0, unsigned(mode)), value.get())});
}
sfpi_inline vMag exman(vFloat value, MantissaMode mode = MantissaMode::FractionOnly) {
    return vMag(Raw{instruction::of(TT_OP_SFPEXMAN(0, 0, 0, unsigned(mode)), value.get())});
}
sfpi_inline vFloat setexp(vFloat value, int exponent) {
    return vFloat(Raw{instruction::of(TT_OP_SFPSETEXP(exponent & 0xff, 0, 0, 1), value.get())});
}
sfpi_inline vFloat setexp(vFloat value, vInt exponent) {
    return vFloat(Raw{instruction::of(TT_OP_SFPSETEXP(0, 0, 0, 0), value.get(), exponent.get())});
}
sfpi_inline vFloat copyexp(vFloat value, vFloat exponent) {
    return vFloat(Raw{instruction::of(TT_OP_SFPSETEXP(0, 0, 0, 2), value.get(), exponent.get())});
}
sfpi_inline vFloat addexp(vFloat value, int exponent) {
    return vFloat(Raw{instruction::of(TT_OP_SFPDIVP2(exponent & 0xff, 0, 0, 1), value.get())});
}
sfpi_inline vFloat setman(vFloat value, int mantissa) {
    return vFloat(Raw{instruction::of(TT_OP_SFPSETMAN(mantissa & 0xfff, 0, 0, 1), value.get())});
}
template <IsVector T>
sfpi_inline vFloat setman(vFloat value, T mantissa) {
    return vFloat(Raw{instruction::of(TT_OP_SFPSETMAN(0, 0, 0, 0), value.get(), mantissa.get())});
}

template <typename T>
using Signed = std::conditional_t<std::is_base_of_v<vUInt, T>, vSMag, T>;

template <IsVector T>
sfpi_inline Signed<T> setsgn(T value, int sign) {
    return Signed<T>(Raw{instruction::of(TT_OP_SFPSETSGN(sign & 1, 0, 0, 1), value.get())});
}
template <IsLazy T>
sfpi_inline vFloat setsgn(T value, int sign) {
    return setsgn(vFloat(value), sign);
}
template <IsVector T, IsVector S>
sfpi_inline Signed<T> copysgn(T value, S sign) {
    return Signed<T>(Raw{instruction::of(TT_OP_SFPSETSGN(0, 0, 0, 0), value.get(), sign.get())});
}
template <IsLazy T, IsVector S>
sfpi_inline vFloat copysgn(T value, S sign) {
    return copysgn(vFloat(value), sign);
}
// The lowest bit of `sign` is the new sign.
template <IsVector T, IsVector S>
sfpi_inline T setsgn2(T value, S sign) {
    return T(Raw{copysgn(value, as<vUInt>(sign) << 31).get()});
}
template <IsVector T>
sfpi_inline vUInt exsgn(T value) {
    return as<vUInt>(value) >> 31;
}

sfpi_inline vFloat abs(vFloat value) { return vFloat(Raw{instruction::of(TT_OP_SFPABS(0, 0, 0, 1), value.get())}); }
sfpi_inline vMag abs(vInt value) { return vMag(Raw{instruction::of(TT_OP_SFPABS(0, 0, 0, 0), value.get())}); }
sfpi_inline vMag abs(vSMag value) { return vMag(Raw{setsgn(value, 0).get()}); }

enum class LZMode { All = 0, IgnoreSign = 4 };
template <IsVector T>
sfpi_inline vMag lz(T value, LZMode mode = LZMode::All) {
    return vMag(Raw{instruction::of(TT_OP_SFPLZ(0, 0, 0, unsigned(mode)), value.get())});
}

enum class FractionalHalf { Low, High };
template <IsVector A, IsVector B>
sfpi_inline vMag fractional_mul(A a, B b, FractionalHalf half = FractionalHalf::Low) {
    Lanes d;
    asm volatile(".ttinsn %[w]+(lreg_%[a]<<16)+(lreg_%[b]<<12)+(lreg_%[d]<<4)"
                 : [d] "=cf"(d)
                 : [a] "cf"(a.get()), [b] "cf"(b.get()), [w] "i"(TT_OP_SFPMUL24(0, 0, 9, 0, unsigned(half))));
    return vMag(Raw{d});
}

template <IsVector T>
sfpi_inline std::pair<T, T> min_max(T a, T b) {
    Lanes smaller = a.get(), larger = b.get();
    instruction::order(smaller, larger);
    return {T(Raw{smaller}), T(Raw{larger})};
}
template <IsVector T>
sfpi_inline T min(T a, T b) {
    return min_max(a, b).first;
}
template <IsVector T>
sfpi_inline T max(T a, T b) {
    return min_max(a, b).second;
}
sfpi_inline vFloat min(vFloat a, float b) { return min(a, vFloat(b)); }
sfpi_inline vFloat max(vFloat a, float b) { return max(a, vFloat(b)); }
sfpi_inline void vec_min_max(vFloat &a, vFloat &b) {
    const auto [smaller, larger] = min_max(a, b);
    a = smaller;
    b = larger;
}
sfpi_inline vFloat clamp(vFloat value, vFloat lower, vFloat upper) { return min(max(value, lower), upper); }
sfpi_inline vFloat clamp(vFloat value, float lower, float upper) { return min(max(value, lower), upper); }
sfpi_inline vFloat symmetric_clamp(vFloat value, float bound) { return copysgn(min(abs(value), bound), value); }

// What is not finite has the largest exponent.
sfpi_inline vBool is_nan(vFloat value) { return exexp(value, ExponentMode::Biased) >= 255 && exman(value) != 0; }
sfpi_inline vBool is_inf(vFloat value) { return exexp(value, ExponentMode::Biased) >= 255 && exman(value) == 0; }
sfpi_inline Comparison is_finite(vFloat value) { return exexp(value, ExponentMode::Biased) < 255; }
sfpi_inline Comparison is_pos(vFloat value) { return {value.get(), Test::NotNegative}; }
sfpi_inline Comparison is_neg(vFloat value) { return {value.get(), Test::Negative}; }

enum class RecipMode { All = 0, IfNegative = 1 };
sfpi_inline vFloat approx_recip(vFloat value, RecipMode mode = RecipMode::All) {
    return vFloat(Raw{instruction::of(TT_OP_SFPARECIP(0, 0, 0, unsigned(mode)), value.get())});
}
sfpi_inline vFloat approx_exp(vFloat value) {
    return vFloat(Raw{instruction::of(TT_OP_SFPARECIP(0, 0, 0, 2), value.get())});
}

enum class RoundMode { Nearest, NearestAway = Nearest, NearestStochastic, Zero };

template <typename T>
constexpr unsigned rounding_to = std::is_same_v<T, vFloat16a>   ? SFPSTOCHRND_MOD1_FP32_TO_FP16A
                                 : std::is_same_v<T, vFloat16b> ? SFPSTOCHRND_MOD1_FP32_TO_FP16B
                                 : std::is_same_v<T, vUInt8>    ? SFPSTOCHRND_MOD1_FP32_TO_UINT8
                                 : std::is_same_v<T, vSMag8>    ? SFPSTOCHRND_MOD1_FP32_TO_INT8
                                 : std::is_same_v<T, vUInt16>   ? SFPSTOCHRND_MOD1_FP32_TO_UINT16
                                 : std::is_same_v<T, vSMag16>   ? SFPSTOCHRND_MOD1_FP32_TO_INT16
                                                                : ~0u;

// From two's complement to sign and magnitude, and back.
sfpi_inline vSMag to_sign_and_magnitude(vInt value) { return as<vSMag>(copysgn(abs(value), value)); }
sfpi_inline vInt to_twos_complement(vSMag value) {
    vInt result = as<vInt>(setsgn(value, 0));
    v_if(as<vInt>(value) < 0) { result = vInt(0) - result; }
    v_endif;
    return result;
}

template <IsVector To, typename From>
sfpi_inline To convert(From value, RoundMode mode = RoundMode::NearestStochastic) {
    if constexpr (!IsVector<From>) {
        return convert<To>(vFloat(value), mode);
    } else if constexpr (std::is_same_v<To, From>) {
        return value;
    } else if constexpr (std::is_base_of_v<vFloat, From>) {
        static_assert(rounding_to<To> != ~0u, "there is no such conversion");
        return To(Raw{instruction::round(unsigned(mode), rounding_to<To>, value.get())});
    } else if constexpr (std::is_base_of_v<vInt, From>) {
        return convert<To>(to_sign_and_magnitude(value), mode);
    } else if constexpr (std::is_same_v<To, vInt> && std::is_base_of_v<vSMag, From>) {
        return to_twos_complement(value);
    } else if constexpr (std::is_same_v<To, vSMag> || std::is_same_v<To, vInt>) {
        return as<To>(value);
    } else {
        const auto number = vFloat(Raw{instruction::of(TT_OP_SFPCAST(0, 0, mode == RoundMode::NearestStochastic), value.get())});
        return convert<To>(number, mode);
    }
}

sfpi_inline Raw multiply_add(Lanes a, Lanes b, Lanes c, unsigned signs) {
    return {instruction::multiply_add({a, 0}, {b, 0}, {c, 0}, signs)};
}

}  // namespace sfpi

// Instructions that kernels name themselves.
#define __builtin_rvtt_sfpmad(a, b, c, mode) (sfpi::multiply_add(a, b, c, mode))
#define __builtin_rvtt_sfpgt(a, b, mode) (sfpi::Raw{sfpi::instruction::of(TT_OP_SFPGT(0, 0, 0, mode), b, a)})
