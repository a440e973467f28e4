"""wolfpine 2.2 with what it computes wrongly, or does not compute, mended. Each mend names the reference that it follows."""

from math import ceil

import numpy as np
from framework.pe.rv.isa.i_isa import RV_I_ISA
from framework.pe.rv.isa.m_isa import RV_M_ISA
from framework.pe.tensix.backends import matrix
from framework.pe.tensix.backends.backend_base import DataFormat
from framework.pe.tensix.backends.unpacker import UnPackerUnit
from framework.util.conversion import conv_to_bytes

WORD = 1 << 32


def jump_and_link_register(cls, instruction, registers, memory, snoop):
    """The target is of the source register as it was before the link was written: RISC-V unprivileged, 2.5.1."""
    source = registers[(instruction >> 15) & 0x1F].read_uint()
    offset = (instruction >> 20) - ((instruction >> 19) & 0x1000)
    link = (instruction >> 7) & 0x1F
    if link:
        registers[link].write(conv_to_bytes((registers["pc"].read_uint() + 4) % WORD))
    registers["nextpc"].write(conv_to_bytes((source + offset) % WORD & ~1))
    return True


def add_upper_immediate(cls, instruction, registers, memory, snoop):
    """The sum wraps around, as for an address below the program: RISC-V unprivileged, 2.4."""
    sum_of_both = registers["pc"].read_uint() + (instruction & 0xFFFFF000)
    registers[(instruction >> 7) & 0x1F].write(conv_to_bytes(sum_of_both % WORD))
    return True


multiply_or_divide = RV_M_ISA.run.__func__


def divide(cls, registers, memory, snoop, instruction=None):
    """A quotient is rounded towards zero, its remainder has the dividend's sign, and division by zero has a result:
    RISC-V unprivileged, 13.2."""
    if instruction is None:
        instruction = cls.fetch(registers, memory)
    function = (instruction >> 12) & 0x7
    if instruction & 0xFE00007F != 0x02000033 or function < 4:
        return multiply_or_divide(cls, registers, memory, snoop, instruction)
    is_signed, is_remainder = not function & 1, function >= 6
    left, right = registers[(instruction >> 15) & 0x1F], registers[(instruction >> 20) & 0x1F]
    dividend, divisor = (left.read_int(), right.read_int()) if is_signed else (left.read_uint(), right.read_uint())
    if divisor == 0:
        quotient, remainder = -1, dividend
    else:
        quotient = abs(dividend) // abs(divisor)
        if (dividend < 0) != (divisor < 0):
            quotient = -quotient
        remainder = dividend - quotient * divisor
    result = remainder if is_remainder else quotient
    registers[(instruction >> 7) & 0x1F].write(conv_to_bytes(result % WORD))
    return True


unpacked_addresses = UnPackerUnit.generate_input_addresses_and_sizes
convert_format = UnPackerUnit.formatConversion


def addresses_of_blocks(self, issue_thread, state, multi_context, context, adc, row_search):
    """A tile of bfloat8_b begins with its exponents, one for 16 values: tt-isa-documentation, UNPACR_Regular.md, InAddr_Exponents."""
    found = unpacked_addresses(self, issue_thread, state, multi_context, context, adc, row_search)
    data_at, *middle, input_format = found
    if input_format != DataFormat.BFP8_b:
        return found
    section = f"THCON_SEC{self.unpacker_id}"
    if self.getConfigValue(state, f"{section}_REG2_Force_shared_exp"):
        raise NotImplementedError("an exponent shared by a whole tile")
    descriptor = self.getConfigValue(state, f"{section}_REG0_TileDescriptor", 4)
    tile_at = self.get_inaddr(descriptor, state, multi_context, context)
    values = np.prod(self.get_xyzw_dim(descriptor, state, multi_context, context))
    first = data_at - tile_at
    if first % 16:
        raise NotImplementedError("unpacking from the middle of 16 values with one exponent")
    self.exponents_at = tile_at + first // 16
    return data_at + ceil(ceil(values / 16) / 16) * 16, *middle, input_format


def bfloat16_of_blocks(values, exponents):
    """Values of bfloat8_b, sign and magnitude, with an exponent each, as bfloat16: tt-isa-documentation, UNPACR_Regular.md, BFP8ToBF16."""
    sign, magnitude = values >> 7, (values << 1) & 0xFF
    zeros = 7 - np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int64)
    number = sign << 15 | ((exponents - zeros) & 0xFF) << 7 | (magnitude << zeros) & 0x7E
    return np.where(magnitude == 0, np.where(sign == 1, 0xFF80, 0), number)


def converted_format(self, state, input_format, output_format, values, to_destination):
    if input_format != DataFormat.BFP8_b:
        return convert_format(self, state, input_format, output_format, values, to_destination)
    if output_format != input_format:
        raise NotImplementedError(f"bfloat8_b as {output_format.name}")
    exponents = np.frombuffer(
        self.backend.addressable_memory.read(self.exponents_at, len(values) // 16), dtype=np.uint8
    )
    values = bfloat16_of_blocks(values, np.repeat(exponents.astype(np.int64), 16))
    return convert_format(self, state, DataFormat.BF16, DataFormat.BF16, values, to_destination)


class FormatsOfSources:
    """A block format whose exponents have eight bits is bfloat16 to the matrix unit: tt-isa-documentation, MVMUL.md, SrcAStyle. wolfpine
    has it the other way about, for that page calls BFP8 what TT-Metalium, and wolfpine, call Bfp8_b."""

    other_names = {"BFP8": "BFP8_b", "BFP4": "BFP4_b", "BFP2": "BFP2_b"}
    other_names |= {other: name for name, other in other_names.items()}

    def __call__(self, value):
        return DataFormat(value)

    def __getattr__(self, name):
        return getattr(DataFormat, self.other_names.get(name, name))


def mend():
    matrix.DataFormat = FormatsOfSources()
    UnPackerUnit.generate_input_addresses_and_sizes = addresses_of_blocks
    UnPackerUnit.formatConversion = converted_format
    RV_I_ISA.handle_i_jalr = classmethod(jump_and_link_register)
    RV_I_ISA.handle_u_auipc = classmethod(add_upper_immediate)
    RV_M_ISA.run = classmethod(divide)
