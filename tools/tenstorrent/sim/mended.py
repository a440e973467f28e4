"""wolfpine 2.2 with what it computes wrongly, or not at all, mended. Each mend names the reference that it follows."""

from math import ceil

import numpy as np
from framework.network import tt_noc
from framework.pe.rv.isa.i_isa import RV_I_ISA
from framework.pe.rv.isa.m_isa import RV_M_ISA
from framework.pe.tensix.backends import matrix
from framework.pe.tensix.backends.backend_base import DataFormat
from framework.pe.tensix.backends.packer import PackerUnit
from framework.pe.tensix.backends.unpacker import UnPackerUnit
from framework.pe.tensix.backends.vector import VectorUnit
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
unpack_block = UnPackerUnit._unpack_block

# Bits of a value, of which one is the sign, beside the exponent that 16 of them share.
BLOCK_FORMATS = {DataFormat.BFP8_b: 8, DataFormat.BFP4_b: 4}


def addresses_of_blocks(self, issue_thread, state, multi_context, context, adc, row_search):
    """A tile in blocks begins with their exponents: tt-isa-documentation, UNPACR_Regular.md, InAddr_Exponents."""
    found = unpacked_addresses(self, issue_thread, state, multi_context, context, adc, row_search)
    _, *middle, input_format = found
    if input_format not in BLOCK_FORMATS:
        return found
    section = f"THCON_SEC{self.unpacker_id}"
    if self.getConfigValue(state, f"{section}_REG2_Force_shared_exp"):
        raise NotImplementedError("an exponent shared by a whole tile")
    descriptor = self.getConfigValue(state, f"{section}_REG0_TileDescriptor", 4)
    tile_at = self.get_inaddr(descriptor, state, multi_context, context)
    shape = self.get_xyzw_dim(descriptor, state, multi_context, context)
    where = (descriptor, state, issue_thread, adc, context, True, row_search, multi_context, 0, *shape, 0)
    first, _ = self.get_first_datum_and_inputNumDatums(*where)
    if first % 16:
        raise NotImplementedError("unpacking from the middle of 16 values with one exponent")
    self.exponents_at = tile_at + first // 16
    exponents = ceil(ceil(np.prod(shape) / 16) / 16) * 16
    self.blocks_at = tile_at + exponents + first * BLOCK_FORMATS[input_format] // 8
    return self.blocks_at, *middle, input_format


def unpacked_block(self, state, issue_thread, rows, data_at, start_row, size, input_format, *rest):
    """Values of less than a byte are read where they are converted."""
    if input_format == DataFormat.BFP4_b:
        *rest, _, _ = rest
        return unpack_block(self, state, issue_thread, rows, data_at, start_row, 1, input_format, *rest, 16, 16)
    return unpack_block(self, state, issue_thread, rows, data_at, start_row, size, input_format, *rest)


def bfloat16_of_blocks(values, exponents):
    """Sign, magnitude and exponent as bfloat16: tt-isa-documentation, UNPACR_Regular.md, BFP8ToBF16."""
    sign, magnitude = values >> 7, (values << 1) & 0xFF
    zeros = 7 - np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int64)
    number = sign << 15 | ((exponents - zeros) & 0xFF) << 7 | (magnitude << zeros) & 0x7E
    return np.where(magnitude == 0, np.where(sign == 1, 0xFF80, 0), number)


def converted_format(self, state, input_format, output_format, values, to_destination):
    """Of blocks, those that were found last."""
    if input_format not in BLOCK_FORMATS:
        return convert_format(self, state, input_format, output_format, values, to_destination)
    if output_format != input_format:
        raise NotImplementedError(f"{input_format.name} as {output_format.name}")
    memory, count = self.backend.addressable_memory, len(values)
    exponents = np.frombuffer(memory.read(self.exponents_at, count // 16), dtype=np.uint8).astype(np.int64)
    if BLOCK_FORMATS[input_format] == 4:
        pairs = np.frombuffer(memory.read(self.blocks_at, count // 2), dtype=np.uint8).astype(np.int64)
        values = np.stack([pairs & 0x0F, pairs >> 4], axis=1).ravel() << 4
    values = bfloat16_of_blocks(values, np.repeat(exponents, 16))
    return convert_format(self, state, DataFormat.BF16, DataFormat.BF16, values, to_destination)


class FormatsOfSources:
    """Blocks with exponents of eight bits are bfloat16 to the matrix unit: tt-isa-documentation, MVMUL.md, SrcAStyle.

    That page calls BFP8 what TT-Metalium and wolfpine call Bfp8_b, and wolfpine has them the other way about.
    """

    def __call__(self, value):
        return DataFormat(value)

    def __getattr__(self, name):
        if name.startswith("BFP"):
            name = name.removesuffix("_b") if name.endswith("_b") else f"{name}_b"
        return getattr(DataFormat, name)


pack = PackerUnit.handle_pacr


class AccumulatingMemory:
    """L1 as a packer sees it that adds to what is there."""

    def __init__(self, memory, number_format):
        self.memory, self.number_format = memory, number_format

    def write(self, address, data):
        found = self.memory.read(address, len(data))
        if self.number_format == DataFormat.FP32:
            total = np.frombuffer(found, np.float32) + np.frombuffer(data, np.float32)
            self.memory.write(address, total.tobytes())
        elif self.number_format == DataFormat.BF16:
            total = bfloat16_as_float(found) + bfloat16_as_float(data)
            bits = total.view(np.uint32)
            rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
            self.memory.write(address, rounded.astype(np.uint16).tobytes())
        else:
            raise NotImplementedError(f"a packer that adds to {self.number_format.name} in L1")


def bfloat16_as_float(data):
    return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)


def packed(self, instruction, thread, arguments):
    """A packer adds to L1 where it is told to: tt-isa-documentation, Packers/README.md, Accumulation; the bit of its
    configuration is TT-Metalium's Pack_L1_Acc."""
    state = self.backend.getThreadConfigValue(thread, "CFG_STATE_ID_StateID")
    if not self.getConfigValue(state, "THCON_SEC0_REG1_Pack_L1_Acc"):
        return pack(self, instruction, thread, arguments)
    memory = self.backend.addressable_memory
    number_format = DataFormat(self.getConfigValue(state, "THCON_SEC0_REG1_Out_data_format"))
    self.backend.addressable_memory = AccumulatingMemory(memory, number_format)
    try:
        return pack(self, instruction, thread, arguments)
    finally:
        self.backend.addressable_memory = memory


rectangle = tt_noc.rectangle_destinations
multicast = tt_noc.NUI.RequestInitiator.handle_multicast_write_transfer

# Bit of a command: a multicast's sender, in the rectangle of its receivers, receives it too.
SOURCE_INCLUDED = 1 << 17


def multicast_to_others(self, *flags):
    """A sender receives its own multicast only if it says so: tt-isa-documentation, NoC/MemoryMap.md,
    NOC_CMD_BRCST_SRC_INCLUDE."""

    def receivers(*corners):
        found = rectangle(*corners)
        if self.ctrl & SOURCE_INCLUDED:
            return found
        endpoints = [(coordinate, self.nui.resolve_destination(coordinate)) for coordinate in found]
        return [coordinate for coordinate, endpoint in endpoints if tt_noc.resolved_nui(endpoint) is not self.nui]

    tt_noc.rectangle_destinations = receivers
    try:
        multicast(self, *flags)
    finally:
        tt_noc.rectangle_destinations = rectangle


load = VectorUnit.handle_sfpload

# By the mode of a vector load: what becomes of 16 bits of Dst.
LOADS_OF_16_BITS = {
    VectorUnit.MOD0_FMT_UINT16: lambda bits: bits,
    VectorUnit.MOD0_FMT_LO16: lambda bits: bits,
    VectorUnit.MOD0_FMT_HI16: lambda bits: bits << 16,
    VectorUnit.MOD0_FMT_INT16: lambda bits: (bits >> 15) << 31 | bits & 0x7FFF,
}


def loaded(self, instruction, thread, arguments):
    """A load of 16 bits reads them, and unsigned ones have no sign: tt-isa-documentation, BlackholeA0, SFPLOAD.md."""
    converted = LOADS_OF_16_BITS.get(arguments["instr_mod0"])
    if converted is None:
        load(self, instruction, thread, arguments)
        return
    load(self, instruction, thread, {**arguments, "instr_mod0": VectorUnit.MOD0_FMT_LO16_ONLY})
    register = arguments["lreg_ind"]
    if register < 8:
        for lane in range(32):
            if self.isLaneEnabled(lane) and not self.laneConfigValue(lane, VectorUnit.BLOCK_SFPU_RD_FROM_DEST):
                self.lregs[register][lane] = converted(int(self.lregs[register][lane]) & 0xFFFF)


def mend():
    VectorUnit.handle_sfpload = loaded
    PackerUnit.handle_pacr = packed
    tt_noc.NUI.RequestInitiator.handle_multicast_write_transfer = multicast_to_others
    matrix.DataFormat = FormatsOfSources()
    UnPackerUnit.generate_input_addresses_and_sizes = addresses_of_blocks
    UnPackerUnit.formatConversion = converted_format
    UnPackerUnit._unpack_block = unpacked_block
    RV_I_ISA.handle_i_jalr = classmethod(jump_and_link_register)
    RV_I_ISA.handle_u_auipc = classmethod(add_upper_immediate)
    RV_M_ISA.run = classmethod(divide)
