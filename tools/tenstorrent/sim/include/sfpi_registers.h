// The destination register, and registers that have a number of their own.
#pragma once

#include "sfpi_conditions.h"

namespace sfpi {

enum class DataLayout { Default, FSrcB, F32, F16a, F16b, I32, U32, U16, SM32, SM16, M32, LO16, HI16 };

// How SFPLOAD and SFPSTORE read and write a layout.
constexpr unsigned format_of(DataLayout layout) {
    switch (layout) {
        case DataLayout::F16a: return SFPLOAD_MOD0_FMT_FP16A;
        case DataLayout::F16b: return SFPLOAD_MOD0_FMT_FP16B;
        case DataLayout::F32: return SFPLOAD_MOD0_FMT_FP32;
        case DataLayout::U16: return SFPLOAD_MOD0_FMT_UINT16;
        case DataLayout::SM16: return SFPLOAD_MOD0_FMT_INT16;
        case DataLayout::LO16: return SFPLOAD_MOD0_FMT_LO16;
        case DataLayout::HI16: return SFPLOAD_MOD0_FMT_HI16;
        case DataLayout::I32:
        case DataLayout::U32:
        case DataLayout::M32:
        case DataLayout::SM32: return SFPLOAD_MOD0_FMT_INT32;
        default: return SFPLOAD_MOD0_FMT_SRCB;
    }
}

template <typename T>
constexpr DataLayout own_layout = std::is_same_v<T, vFloat16a>           ? DataLayout::F16a
                                  : std::is_same_v<T, vFloat16b>         ? DataLayout::F16b
                                  : std::is_base_of_v<vFloat, T>         ? DataLayout::FSrcB
                                  : std::is_base_of_v<vUInt16, T>        ? DataLayout::U16
                                  : std::is_base_of_v<vSMag16, T>        ? DataLayout::SM16
                                                                         : DataLayout::I32;

// Rows of the destination register that one instruction reads or writes.
template <DataLayout layout = DataLayout::Default>
class Rows {
   public:
    sfpi_inline constexpr Rows(unsigned address, unsigned address_mode) : address_(address), address_mode_(address_mode) {}
    Rows(const Rows &) = default;

    template <DataLayout other = DataLayout::Default>
    sfpi_inline Rows<other == DataLayout::Default ? layout : other> mode(int address_mode = -1) const {
        return {address_, address_mode < 0 ? address_mode_ : unsigned(address_mode)};
    }
    template <IsVector T>
    sfpi_inline operator T() const {
        constexpr DataLayout from = layout == DataLayout::Default ? own_layout<T> : layout;
        static_assert(from != DataLayout::SM32, "sign and magnitude is not converted");
        return T(Raw{instruction::load(format_of(from), address_mode_, address_)});
    }
    // Into the enabled lanes of a float.
    sfpi_inline void into(Lanes &lanes) const {
        constexpr DataLayout from = layout == DataLayout::Default ? DataLayout::FSrcB : layout;
        instruction::load(lanes, format_of(from), address_mode_, address_);
    }
    template <IsVector T>
    sfpi_inline void operator=(T value) const {
        constexpr DataLayout to = layout == DataLayout::Default ? own_layout<T> : layout;
        static_assert(to != DataLayout::SM32, "sign and magnitude is not converted");
        instruction::store(value.get(), format_of(to), address_mode_, address_);
    }
    template <IsLazy T>
    sfpi_inline void operator=(T value) const {
        *this = vFloat(value);
    }
    sfpi_inline void operator=(float value) const { *this = vFloat(value); }
    sfpi_inline void operator=(const Rows &rows) const { *this = vFloat(rows); }

   private:
    unsigned address_;
    unsigned address_mode_;
};

template <DataLayout layout>
constexpr bool is_rows<Rows<layout>> = true;

class DestinationRegister {
   public:
    sfpi_inline constexpr Rows<> operator[](int index) const {
        return {unsigned(index) * SFP_DESTREG_STRIDE, SFPLOAD_ADDR_MODE_NOINC};
    }
    sfpi_inline void operator++() const { *this += 1; }
    sfpi_inline void operator++(int) const { *this += 1; }
    sfpi_inline void operator+=(int rows) const {
        instruction::issue(TT_OP_INCRWC(0, SFP_DESTREG_STRIDE * rows, 0, 0));
    }
};
constexpr DestinationRegister dst_reg;

constexpr ConstantRegister<vFloat> vConst0(9), vConst1(10), vConstNeg1(11), vConst0p8373(8);
constexpr ConstantRegister<vFloat> vConstFloatPrgm0(12), vConstFloatPrgm1(13), vConstFloatPrgm2(14);
constexpr ConstantRegister<vInt> vConstIntPrgm0(12), vConstIntPrgm1(13), vConstIntPrgm2(14), vConstTileId(15);

// Integers that are constants.
#define SFPI_OF_CONSTANT(op)                                                                                    \
    template <typename B>                                                                                       \
    sfpi_inline auto operator op(ConstantRegister<vInt> a, B b)->decltype(vInt(a) op b) {                       \
        return vInt(a) op b;                                                                                    \
    }                                                                                                           \
    template <typename A>                                                                                       \
    sfpi_inline auto operator op(A a, ConstantRegister<vInt> b)->decltype(a op vInt(b)) {                       \
        return a op vInt(b);                                                                                    \
    }

SFPI_OF_CONSTANT(+)
SFPI_OF_CONSTANT(-)
SFPI_OF_CONSTANT(&)
SFPI_OF_CONSTANT(|)
SFPI_OF_CONSTANT(^)
SFPI_OF_CONSTANT(<)
SFPI_OF_CONSTANT(>)
SFPI_OF_CONSTANT(<=)
SFPI_OF_CONSTANT(>=)
SFPI_OF_CONSTANT(==)
SFPI_OF_CONSTANT(!=)

// A register by its number holds what the last function left there: clang does not know that, so no kernel that is compiled here
// may use one.
enum class LRegs : std::uint8_t { LReg0, LReg1, LReg2, LReg3, LReg4, LReg5, LReg6, LReg7 };

[[gnu::error("a register by its number is not supported by this package's compiler for the simulator")]]
void refuse_numbered_register();

class NumberedRegister {
   public:
    template <typename T>
    sfpi_inline operator T() const {
        refuse_numbered_register();
        return T();
    }
    template <typename T>
    sfpi_inline void operator=(T) const {
        refuse_numbered_register();
    }
    sfpi_inline void in_use() const { refuse_numbered_register(); }
};
class NumberedRegisters {
   public:
    sfpi_inline constexpr NumberedRegister operator[](LRegs) const { return {}; }
};
constexpr NumberedRegisters l_reg;

// Tables that are in numbered registers.
enum class LutSign { Update, Retain };
#define SFPI_TABLE(name)                                           \
    class name {                                                   \
       public:                                                     \
        name() = default;                                          \
        sfpi_inline name(float, float) { refuse_numbered_register(); } \
    };
SFPI_TABLE(vLut16ss)
SFPI_TABLE(vLut16ii)
SFPI_TABLE(vLut8si)
template <typename... Tables>
sfpi_inline vFloat lut(vFloat value, Tables...) {
    refuse_numbered_register();
    return value;
}

struct lreg_pressure {};

}  // namespace sfpi
