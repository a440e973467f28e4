// Values of the vector unit (SFPU), as TT-Metalium's kernels write them: the names that the kernels of this package's graph use of
// Tenstorrent's header of this name. See sfpu_instructions.h.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "sfpi_constants.h"
#include "sfpu_instructions.h"

namespace sfpi {

using instruction::Lanes;

// Told from a number, which fills all lanes.
struct Raw {
    Lanes lanes;
};

// A value of 32 lanes. Assigning to it writes the enabled lanes alone.
class Vector {
   public:
    Vector() = default;
    Vector(const Vector &) = default;
    sfpi_inline Vector(Raw raw) : lanes_(raw.lanes) {}
    sfpi_inline Vector &operator=(const Vector &other) {
        instruction::assign(lanes_, other.lanes_);
        return *this;
    }
    sfpi_inline Lanes get() const { return lanes_; }

   private:
    Lanes lanes_;
};

template <typename T>
concept IsVector = std::is_base_of_v<Vector, T>;

template <IsVector To>
sfpi_inline To as(const Vector &value) {
    return To(Raw{value.get()});
}

// A number of 16 bits, given by its bits; a float is cut off to bfloat16.
class sFloat16a {
   public:
    template <typename T>
        requires std::is_integral_v<T>
    sfpi_inline explicit sFloat16a(T bits) : bits_(std::uint32_t(bits)) {}
    sfpi_inline std::uint32_t get() const { return bits_ & 0xffff; }

   private:
    std::uint32_t bits_;
};
class sFloat16b {
   public:
    template <typename T>
        requires std::is_integral_v<T>
    sfpi_inline explicit sFloat16b(T bits) : bits_(std::uint32_t(bits)) {}
    sfpi_inline explicit sFloat16b(float value) : bits_(std::bit_cast<std::uint32_t>(value) >> 16) {}
    sfpi_inline std::uint32_t get() const { return bits_ & 0xffff; }

   private:
    std::uint32_t bits_;
};

#define SFPI_VECTOR(name, base)                          \
    name() = default;                                    \
    name(const name &) = default;                        \
    sfpi_inline name(Raw raw) : base(raw) {}             \
    sfpi_inline name &operator=(const name &other) {     \
        base::operator=(other);                          \
        return *this;                                    \
    }

class vFloat : public Vector {
   public:
    SFPI_VECTOR(vFloat, Vector)
    sfpi_inline vFloat(float value) : Vector(Raw{instruction::load_bits(std::bit_cast<std::uint32_t>(value))}) {}
    sfpi_inline vFloat(sFloat16a value) : Vector(Raw{instruction::load_immediate(instruction::Float16, value.get())}) {}
    sfpi_inline vFloat(sFloat16b value) : Vector(Raw{instruction::load_immediate(instruction::BFloat16, value.get())}) {}
    sfpi_inline vFloat &operator+=(vFloat other);
    sfpi_inline vFloat &operator-=(vFloat other);
    sfpi_inline vFloat &operator*=(vFloat other);
};

class vUInt : public Vector {
   public:
    SFPI_VECTOR(vUInt, Vector)
    template <typename T>
        requires std::is_integral_v<T>
    sfpi_inline vUInt(T value) : Vector(Raw{instruction::load_bits(std::uint32_t(value))}) {}
    template <typename T>
        requires IsVector<T> && (!std::is_base_of_v<vUInt, T>)
    sfpi_inline explicit vUInt(T value) : Vector(Raw{value.get()}) {}
};

// Without a sign, in 31 bits.
class vMag : public vUInt {
   public:
    SFPI_VECTOR(vMag, vUInt)
    template <typename T>
        requires std::is_integral_v<T>
    sfpi_inline explicit vMag(T value) : vUInt(value) {}
};

class vInt : public Vector {
   public:
    SFPI_VECTOR(vInt, Vector)
    template <typename T>
        requires std::is_integral_v<T>
    sfpi_inline vInt(T value) : Vector(Raw{instruction::load_bits(std::uint32_t(value))}) {}
    sfpi_inline vInt(vMag value) : Vector(Raw{value.get()}) {}
    sfpi_inline explicit vInt(vUInt value) : Vector(Raw{value.get()}) {}
};

class vSMag : public Vector {
   public:
    SFPI_VECTOR(vSMag, Vector)
    sfpi_inline explicit vSMag(std::uint32_t value) : Vector(Raw{instruction::load_bits(value)}) {}
};

#define SFPI_NARROW(name, base)    \
    class name : public base {     \
       public:                     \
        SFPI_VECTOR(name, base)    \
    };

SFPI_NARROW(vFloat16a, vFloat)
SFPI_NARROW(vFloat16b, vFloat)
SFPI_NARROW(vUInt16, vMag)
SFPI_NARROW(vUInt8, vUInt16)
SFPI_NARROW(vSMag16, vSMag)
SFPI_NARROW(vSMag8, vSMag16)

// Floating point. A product that is added to is one instruction, with one rounding.
class Product {
   public:
    sfpi_inline Product(vFloat a, vFloat b) : a(a), b(b) {}
    Product(const Product &) = default;
    sfpi_inline operator vFloat() const { return vFloat(Raw{instruction::multiply(a.get(), b.get())}); }
    vFloat a, b;
};

sfpi_inline vFloat multiply_add(Product product, vFloat c, unsigned signs) {
    return vFloat(Raw{instruction::multiply_add(product.a.get(), product.b.get(), c.get(), signs)});
}

sfpi_inline Product operator*(vFloat a, vFloat b) { return {a, b}; }
sfpi_inline vFloat operator+(vFloat a, vFloat b) { return vFloat(Raw{instruction::add(a.get(), b.get())}); }
sfpi_inline vFloat operator-(vFloat a, vFloat b) { return vFloat(Raw{instruction::add(a.get(), b.get(), 2)}); }
sfpi_inline vFloat operator+(Product product, vFloat c) { return multiply_add(product, c, 0); }
sfpi_inline vFloat operator+(vFloat c, Product product) { return multiply_add(product, c, 0); }
sfpi_inline vFloat operator-(Product product, vFloat c) { return multiply_add(product, c, 2); }
sfpi_inline vFloat operator-(vFloat c, Product product) { return multiply_add(product, c, 1); }
sfpi_inline vFloat operator+(Product a, Product b) { return multiply_add(a, vFloat(b), 0); }
sfpi_inline vFloat operator-(Product a, Product b) { return multiply_add(a, vFloat(b), 2); }
sfpi_inline vFloat operator-(vFloat a) { return vFloat(Raw{instruction::of(TT_OP_SFPMOV(0, 0, 0, 1), a.get())}); }
sfpi_inline vFloat &vFloat::operator+=(vFloat other) { return *this = *this + other; }
sfpi_inline vFloat &vFloat::operator-=(vFloat other) { return *this = *this - other; }
sfpi_inline vFloat &vFloat::operator*=(vFloat other) { return *this = vFloat(*this * other); }

// Integers. Flags are left as they are.
constexpr unsigned NO_FLAGS = SFPIADD_MOD1_CC_NONE;

sfpi_inline Lanes integer_add(Lanes a, Lanes b) { return instruction::of(TT_OP_SFPIADD(0, 0, 0, NO_FLAGS), a, b); }

sfpi_inline Lanes integer_subtract(Lanes a, Lanes b) {
    return instruction::of(TT_OP_SFPIADD(0, 0, 0, NO_FLAGS | SFPIADD_MOD1_ARG_2SCOMP_LREG_DST), a, b);
}

sfpi_inline Lanes integer_add(Lanes a, std::int32_t b) {
    if (__builtin_constant_p(b) && b >= -2048 && b < 2048) {
        return instruction::of(TT_OP_SFPIADD(b & 0xfff, 0, 0, NO_FLAGS | SFPIADD_MOD1_ARG_IMM), a);
    }
    return integer_add(a, instruction::load_bits(std::uint32_t(b)));
}

template <typename T>
concept IsInteger = std::is_base_of_v<vInt, T> || std::is_base_of_v<vUInt, T>;
template <typename T>
using Wide = std::conditional_t<std::is_base_of_v<vInt, T>, vInt, vUInt>;
template <typename T>
concept IsNumber = std::is_integral_v<T>;
template <typename A, typename B>
using Sum = std::conditional_t<std::is_base_of_v<vInt, A> || std::is_base_of_v<vInt, B>, vInt, vUInt>;

template <IsInteger A, IsInteger B>
sfpi_inline Sum<A, B> operator+(A a, B b) {
    return Sum<A, B>(Raw{integer_add(a.get(), b.get())});
}
template <IsInteger A, IsInteger B>
sfpi_inline Sum<A, B> operator-(A a, B b) {
    return Sum<A, B>(Raw{integer_subtract(a.get(), b.get())});
}
template <IsInteger A, IsNumber B>
sfpi_inline Wide<A> operator+(A a, B b) {
    return Wide<A>(Raw{integer_add(a.get(), std::int32_t(b))});
}
template <IsInteger A, IsNumber B>
sfpi_inline Wide<A> operator-(A a, B b) {
    return Wide<A>(Raw{integer_add(a.get(), -std::int32_t(b))});
}
template <IsNumber A, IsInteger B>
sfpi_inline Wide<B> operator+(A a, B b) {
    return b + a;
}
template <IsNumber A, IsInteger B>
sfpi_inline Wide<B> operator-(A a, B b) {
    return Wide<B>(a) - b;
}

#define SFPI_BITWISE(op, word)                                                    \
    template <IsInteger A, IsInteger B>                                           \
    sfpi_inline Wide<A> operator op(A a, B b) {                                   \
        return Wide<A>(Raw{instruction::of(word(0, 0, 0, 0), b.get(), a.get())}); \
    }                                                                             \
    template <IsInteger A, IsNumber B>                                            \
    sfpi_inline Wide<A> operator op(A a, B b) {                                   \
        return a op Wide<A>(b);                                                   \
    }                                                                             \
    template <IsNumber A, IsInteger B>                                            \
    sfpi_inline Wide<B> operator op(A a, B b) {                                   \
        return Wide<B>(a) op b;                                                   \
    }

SFPI_BITWISE(&, TT_OP_SFPAND)
SFPI_BITWISE(|, TT_OP_SFPOR)
SFPI_BITWISE(^, TT_OP_SFPXOR)

template <typename A>
    requires std::is_base_of_v<vSMag, A>
sfpi_inline vUInt operator&(A a, int b) {
    return as<vUInt>(a) & b;
}
template <IsInteger A>
sfpi_inline Wide<A> operator~(A a) {
    return Wide<A>(Raw{instruction::of(TT_OP_SFPNOT(0, 0, 0, 0), a.get())});
}
template <IsInteger A>
sfpi_inline A operator-(A a) {
    return A(0) - a;
}

enum class ShiftMode { Logical = 0, Arithmetic = 2 };

// Left by a positive amount, right by a negative one.
sfpi_inline Lanes shift(Lanes value, Lanes amount, ShiftMode mode) {
    return instruction::of(TT_OP_SFPSHFT(0, 0, 0, unsigned(mode)), amount, value);
}
sfpi_inline Lanes shift(Lanes value, int amount, ShiftMode mode) {
    return instruction::in_place(TT_OP_SFPSHFT(amount & 0xfff, 0, 0, 1 | unsigned(mode)), value);
}

template <typename T>
constexpr ShiftMode shift_of = std::is_base_of_v<vInt, T> ? ShiftMode::Arithmetic : ShiftMode::Logical;

template <IsInteger A>
sfpi_inline Wide<A> shft(A value, vInt amount, ShiftMode mode = shift_of<A>) {
    return Wide<A>(Raw{shift(value.get(), amount.get(), mode)});
}
template <IsInteger A, IsNumber B>
sfpi_inline Wide<A> shft(A value, B amount, ShiftMode mode = shift_of<A>) {
    return Wide<A>(Raw{shift(value.get(), int(amount), mode)});
}
template <IsInteger A, IsNumber B>
sfpi_inline std::conditional_t<std::is_same_v<A, vMag>, vMag, Wide<A>> operator>>(A value, B amount) {
    return std::conditional_t<std::is_same_v<A, vMag>, vMag, Wide<A>>(Raw{shift(value.get(), -int(amount), shift_of<A>)});
}
template <IsInteger A, IsNumber B>
sfpi_inline Wide<A> operator<<(A value, B amount) {
    return Wide<A>(Raw{shift(value.get(), int(amount), ShiftMode::Logical)});
}
template <IsInteger A>
sfpi_inline Wide<A> operator<<(A value, vUInt amount) {
    return Wide<A>(Raw{shift(value.get(), amount.get(), ShiftMode::Logical)});
}
template <IsInteger A>
sfpi_inline Wide<A> operator>>(A value, vUInt amount) {
    return Wide<A>(Raw{shift(value.get(), (vInt(0) - vInt(amount)).get(), shift_of<A>)});
}

#define SFPI_IN_PLACE(op)                          \
    template <IsInteger A, typename B>             \
    sfpi_inline A &operator op##=(A & a, B b) {    \
        return a = A(Raw{(a op b).get()});         \
    }

SFPI_IN_PLACE(+)
SFPI_IN_PLACE(-)
SFPI_IN_PLACE(&)
SFPI_IN_PLACE(|)
SFPI_IN_PLACE(^)
SFPI_IN_PLACE(<<)
SFPI_IN_PLACE(>>)

}  // namespace sfpi

#include "sfpi_conditions.h"
#include "sfpi_registers.h"
#include "sfpi_functions.h"
