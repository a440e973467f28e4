// Conditions on lanes, and the code that runs where they hold.
#pragma once

#include "sfpi.h"

namespace sfpi {

using instruction::Test;

// A value whose sign or zero tells the result of a comparison.
class Comparison {
   public:
    sfpi_inline Comparison(Lanes value, Test test) : value_(value), test_(test) {}
    sfpi_inline void narrow() const { instruction::narrow(value_, test_); }
    sfpi_inline Comparison operator!() const {
        switch (test_) {
            case Test::Negative: return {value_, Test::NotNegative};
            case Test::NotNegative: return {value_, Test::Negative};
            case Test::Zero: return {value_, Test::NotZero};
            default: return {value_, Test::Zero};
        }
    }

   private:
    Lanes value_;
    Test test_;
};

template <typename A, typename B>
class Both {
   public:
    sfpi_inline Both(A a, B b) : a(a), b(b) {}
    sfpi_inline void narrow() const {
        a.narrow();
        b.narrow();
    }

   private:
    A a;
    B b;
};

// A condition of any kind, as a number that is not 0 where it holds.
class vBool {
   public:
    template <typename C>
        requires requires(C c) { c.narrow(); }
    sfpi_inline vBool(C condition) : holds_(instruction::load_immediate(instruction::UInt16, 0)) {
        add(condition);
    }
    vBool(const vBool &) = default;
    sfpi_inline void narrow() const { instruction::narrow(holds_, Test::NotZero); }
    sfpi_inline Comparison operator!() const { return {holds_, Test::Zero}; }

    template <typename C>
    sfpi_inline void add(C condition) {
        instruction::issue(TT_OP_SFPPUSHC(0, 0, 0, 0));
        condition.narrow();
        instruction::use(TT_OP_SFPLOADI(0, unsigned(instruction::UInt16), 1), holds_);
        instruction::issue(TT_OP_SFPPOPC(0, 0, 0, 0));
    }

   private:
    Lanes holds_;
};

template <typename T>
concept IsCondition = requires(T condition) { condition.narrow(); };

template <IsCondition A, IsCondition B>
sfpi_inline Both<A, B> operator&&(A a, B b) {
    return {a, b};
}
template <IsCondition A, IsCondition B>
sfpi_inline vBool operator||(A a, B b) {
    vBool either(a);
    either.add(b);
    return either;
}
template <typename A, typename B>
sfpi_inline Comparison operator!(Both<A, B> both) {
    return !vBool(both);
}

template <typename T>
concept IsScalar = std::is_arithmetic_v<T>;

// Differences tell the order of floats and of integers; a comparison with 0 needs none.
template <IsFloating A, IsScalar B>
sfpi_inline Lanes difference(A a, B b) {
    const vFloat value = a;
    return __builtin_constant_p(b) && b == 0 ? value.get() : vFloat(value - b).get();
}
template <typename A, typename B>
    requires(IsFloating<A> && !IsScalar<B>)
sfpi_inline Lanes difference(A a, B b) {
    return vFloat(a - b).get();
}
template <IsInteger A, IsScalar B>
sfpi_inline Lanes difference(A a, B b) {
    return __builtin_constant_p(b) && b == 0 ? a.get() : integer_add(a.get(), -std::int32_t(b));
}
template <IsInteger A, IsInteger B>
sfpi_inline Lanes difference(A a, B b) {
    return integer_subtract(a.get(), b.get());
}
template <IsScalar A, typename B>
    requires IsFloating<B>
sfpi_inline Lanes difference(A a, B b) {
    return vFloat(a - b).get();
}
template <IsScalar A, IsInteger B>
sfpi_inline Lanes difference(A a, B b) {
    return integer_subtract(Wide<B>(a).get(), b.get());
}
template <typename A, typename B>
    requires(std::is_base_of_v<vSMag, A> && IsScalar<B>)
sfpi_inline Lanes difference(A a, B b) {
    return b == 0 ? a.get() : integer_add(a.get(), -std::int32_t(b));
}

template <typename A, typename B>
    requires(std::is_base_of_v<vSMag, A> && std::is_base_of_v<vSMag, B>)
sfpi_inline Lanes difference(A a, B b) {
    return integer_subtract(a.get(), b.get());
}

template <typename A, typename B>
concept AreComparable = requires(A a, B b) { difference(a, b); };

template <typename A, typename B>
    requires AreComparable<A, B>
sfpi_inline Comparison operator<(A a, B b) {
    return {difference(a, b), Test::Negative};
}
template <typename A, typename B>
    requires AreComparable<A, B>
sfpi_inline Comparison operator>=(A a, B b) {
    return {difference(a, b), Test::NotNegative};
}
template <typename A, typename B>
    requires AreComparable<A, B>
sfpi_inline Comparison operator==(A a, B b) {
    return {difference(a, b), Test::Zero};
}
template <typename A, typename B>
    requires AreComparable<A, B>
sfpi_inline Comparison operator!=(A a, B b) {
    return {difference(a, b), Test::NotZero};
}
template <typename A, typename B>
    requires AreComparable<B, A>
sfpi_inline Comparison operator>(A a, B b) {
    return {difference(b, a), Test::Negative};
}
template <typename A, typename B>
    requires AreComparable<B, A>
sfpi_inline Comparison operator<=(A a, B b) {
    return {difference(b, a), Test::NotNegative};
}

// Says how a condition is to be computed, and not what it is.
template <IsCondition C>
sfpi_inline C nearby(C condition) {
    return condition;
}

// Which lanes are enabled, from here to the end of a block.
class Predicate {
   public:
    sfpi_inline Predicate() { push(); }
    Predicate(const Predicate &) = delete;
    sfpi_inline ~Predicate() {
        for (unsigned pushed = 0; pushed < depth_; ++pushed) {
            instruction::issue(TT_OP_SFPPOPC(0, 0, 0, 0));
        }
    }
    sfpi_inline void push() {
        instruction::issue(TT_OP_SFPPUSHC(0, 0, 0, 0));
        ++depth_;
    }
    sfpi_inline void others() { instruction::issue(TT_OP_SFPCOMPC(0, 0, 0, 0)); }
    template <IsCondition C>
    sfpi_inline void narrow(C condition) {
        condition.narrow();
    }
    template <IsInteger T>
    sfpi_inline void narrow(T value) {
        instruction::narrow(value.get(), Test::NotZero);
    }

   private:
    unsigned depth_ = 0;
};

}  // namespace sfpi

#define v_if(condition)             \
    {                               \
        sfpi::Predicate predicate_; \
        predicate_.narrow(condition); \
        {
#define v_elseif(condition)     \
    }                           \
    predicate_.others();        \
    predicate_.push();          \
    predicate_.narrow(condition); \
    {
#define v_else           \
    }                    \
    predicate_.others(); \
    {
#define v_endif \
    }           \
    }
#define v_block                     \
    {                               \
        sfpi::Predicate predicate_; \
        {
#define v_and(condition) predicate_.narrow(condition)
#define v_endblock \
    }              \
    }
