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

// A value of 32 lanes. Assigning to it writes the enabled lanes alone; what has no value yet has none to keep.
class Vector {
   public:
    sfpi_inline Vector() {}
    Vector(const Vector &) = default;
    sfpi_inline Vector(Raw raw) : lanes_(raw.lanes), has_value_(true) {}
    sfpi_inline Vector &operator=(const Vector &other) {
        if (has_value_) {
            instruction::assign(lanes_, other.lanes_);
        } else {
            lanes_ = other.lanes_;
            has_value_ = true;
        }
        return *this;
    }
    sfpi_inline Lanes get() const { return lanes_; }

   protected:
    Lanes lanes_;
    bool has_value_ = false;
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
    // What can be computed in the place of this value is: that takes one register less.
    template <typename T>
        requires requires(T value, Lanes &lanes) { value.into(lanes); }
    sfpi_inline vFloat &operator=(T value) {
        if (has_value_) {
            value.into(lanes_);
            return *this;
        }
        return *this = vFloat(value);
    }
    sfpi_inline vFloat &operator=(float value) {
        if (has_value_) {
            instruction::load_bits(lanes_, std::bit_cast<std::uint32_t>(value));
            return *this;
        }
        return *this = vFloat(value);
    }
    template <typename T>
    sfpi_inline vFloat &operator+=(T other);
    template <typename T>
    sfpi_inline vFloat &operator-=(T other);
    template <typename T>
    sfpi_inline vFloat &operator*=(T other);
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

// A register that holds the same in all kernels, or what a kernel's beginning wrote there.
template <typename T>
class ConstantRegister {
   public:
    sfpi_inline constexpr explicit ConstantRegister(unsigned index) : index_(index) {}
    sfpi_inline operator T() const { return T(Raw{instruction::constant(index_)}); }
    sfpi_inline void operator=(T value) const { instruction::set_constant(index_, value.get()); }
    sfpi_inline constexpr unsigned index() const { return index_; }

   private:
    unsigned index_;
};

// A factor or a summand; 0 and 1 are in registers of their own.
class FloatOperand {
   public:
    sfpi_inline FloatOperand(vFloat value) : value_{value.get(), instruction::NOT_CONSTANT} {}
    sfpi_inline FloatOperand(ConstantRegister<vFloat> value) : value_{0, value.index()} {}
    sfpi_inline FloatOperand(float value) : value_{of(value)} {}
    sfpi_inline instruction::Operand get() const { return value_; }

   private:
    sfpi_inline static instruction::Operand of(float value) {
        if (__builtin_constant_p(value) && (value == 1.0f || std::bit_cast<std::uint32_t>(value) == 0)) {
            return {0, value == 1.0f ? instruction::ONE : instruction::ZERO};
        }
        return {vFloat(value).get(), instruction::NOT_CONSTANT};
    }
    instruction::Operand value_;
};

// A product and what is added to it are one instruction, with one rounding.
class FloatSum {
   public:
    sfpi_inline FloatSum(FloatOperand a, FloatOperand b, FloatOperand c, unsigned signs) : a(a), b(b), c(c), signs(signs) {}
    sfpi_inline void into(Lanes &lanes) const { instruction::multiply_add(lanes, a.get(), b.get(), c.get(), signs); }
    sfpi_inline operator vFloat() const {
        return vFloat(Raw{instruction::multiply_add(a.get(), b.get(), c.get(), signs)});
    }
    sfpi_inline operator FloatOperand() const { return vFloat(*this); }

   private:
    FloatOperand a, b, c;
    unsigned signs;
};

class FloatProduct {
   public:
    sfpi_inline FloatProduct(FloatOperand a, FloatOperand b, unsigned signs = 0) : a(a), b(b), signs(signs) {}
    sfpi_inline void into(Lanes &lanes) const { plus(0.0f, 0).into(lanes); }
    sfpi_inline operator vFloat() const { return plus(0.0f, 0); }
    sfpi_inline operator FloatOperand() const { return vFloat(*this); }
    sfpi_inline FloatSum plus(FloatOperand c, unsigned sign_of_c) const { return {a, b, c, signs | sign_of_c}; }
    sfpi_inline FloatProduct operator-() const { return {a, b, signs ^ 1}; }

   private:
    FloatOperand a, b;
    unsigned signs;
};

// Negation is part of the instruction that uses it.
class FloatNegative {
   public:
    sfpi_inline explicit FloatNegative(vFloat value) : value_(value) {}
    sfpi_inline void into(Lanes &lanes) const { lanes = instruction::of(TT_OP_SFPMOV(0, 0, 0, 1), value_.get(), lanes); }
    sfpi_inline operator vFloat() const { return vFloat(Raw{instruction::of(TT_OP_SFPMOV(0, 0, 0, 1), value_.get())}); }
    sfpi_inline operator FloatOperand() const { return vFloat(*this); }
    sfpi_inline vFloat operator-() const { return value_; }

   private:
    vFloat value_;
};

template <typename T>
concept IsLazy = std::is_same_v<T, FloatProduct> || std::is_same_v<T, FloatSum> || std::is_same_v<T, FloatNegative>;
template <typename T>
constexpr bool is_rows = false;
template <typename T>
concept IsFloating = std::is_base_of_v<vFloat, T> || IsLazy<T> || std::is_same_v<T, ConstantRegister<vFloat>> || is_rows<T>;
template <typename T>
concept IsFloatingNumber = std::is_arithmetic_v<T> || std::is_same_v<T, sFloat16a> || std::is_same_v<T, sFloat16b>;
template <typename A, typename B>
concept AreFloating =
    (IsFloating<A> && (IsFloating<B> || IsFloatingNumber<B>)) || (IsFloatingNumber<A> && IsFloating<B>);

template <typename T>
sfpi_inline auto operand(T value) {
    if constexpr (std::is_arithmetic_v<T>) {
        return FloatOperand(float(value));
    } else if constexpr (std::is_convertible_v<T, FloatOperand>) {
        return FloatOperand(value);
    } else {
        return FloatOperand(vFloat(value));
    }
}

template <typename A, typename B>
    requires AreFloating<A, B>
sfpi_inline FloatProduct operator*(A a, B b) {
    if constexpr (std::is_same_v<A, FloatNegative> && std::is_same_v<B, FloatNegative>) {
        return -a * -b;
    } else if constexpr (std::is_same_v<A, FloatNegative>) {
        return -(-a * b);
    } else if constexpr (std::is_same_v<B, FloatNegative>) {
        return -(a * -b);
    } else {
        return {operand(a), operand(b)};
    }
}
template <typename A, typename B>
    requires AreFloating<A, B>
sfpi_inline FloatSum operator+(A a, B b) {
    if constexpr (std::is_same_v<A, FloatProduct>) {
        return a.plus(operand(b), 0);
    } else if constexpr (std::is_same_v<B, FloatProduct>) {
        return b.plus(operand(a), 0);
    } else {
        return {operand(a), 1.0f, operand(b), 0};
    }
}
template <typename A, typename B>
    requires AreFloating<A, B>
sfpi_inline FloatSum operator-(A a, B b) {
    if constexpr (std::is_same_v<A, FloatProduct>) {
        return a.plus(operand(b), 2);
    } else if constexpr (std::is_same_v<B, FloatProduct>) {
        return (-b).plus(operand(a), 0);
    } else {
        return {operand(a), 1.0f, operand(b), 2};
    }
}
sfpi_inline FloatNegative operator-(vFloat a) { return FloatNegative(a); }
template <typename T>
sfpi_inline vFloat &vFloat::operator+=(T other) {
    return *this = *this + other;
}
template <typename T>
sfpi_inline vFloat &vFloat::operator-=(T other) {
    return *this = *this - other;
}
template <typename T>
sfpi_inline vFloat &vFloat::operator*=(T other) {
    return *this = *this * other;
}

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
