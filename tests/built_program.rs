//! What the compiler made of the kernels, in the built program: an intrinsic that was not inlined is a call for every register,
//! which no other test notices but one that measures.

mod common {
    pub mod ignored;
}

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::ExitCode;

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use libtest_mimic::{Arguments, Failed, Trial};
use object::{
    Object, ObjectSection, ObjectSymbol, ObjectSymbolTable, RelocationTarget, SectionKind, SymbolKind,
};

use crate::common::ignored::ignored;

const PROGRAM: &str = env!("CARGO_BIN_EXE_pi0_bench");

/// The folder of the kernels, and of what they may call of this crate.
const CPU_DEVICE: &str = "pi0_node::device::cpu::";

/// The functions that loops are compiled in for the widest registers.
const WIDE: &str = "pi0_node::device::vectorised::at_full_width::";

/// Every kernel's functions, which have to be there: one that is called otherwise would not be looked at.
const KERNELS: [&str; 19] = [
    "vectors::SCALAR_F32::multiply",
    "vectors::x86::AVX2_F32::multiply",
    "vectors::x86::AVX2_F32::multiply_registers",
    "vectors::x86::AVX2_INT16::multiply",
    "vectors::x86::AVX2_INT16::multiply_registers",
    "vectors::x86::AVX_VNNI_INT8::multiply",
    "vectors::x86::AVX_VNNI_INT8::multiply_registers",
    "vectors::x86::AVX512_F32::multiply",
    "vectors::x86::AVX512_F32::multiply_registers",
    "vectors::x86::AVX512_INT16::multiply",
    "vectors::x86::AVX512_INT16::multiply_registers",
    "vectors::x86::AVX512_VNNI_INT8::multiply",
    "vectors::x86::AVX512_VNNI_INT8::multiply_registers",
    "vectors::x86::AVX512_BF16::multiply",
    "vectors::x86::AVX512_BF16::multiply_registers",
    "amx::bf16",
    "amx::bf16_registers",
    "amx::int8",
    "amx::int8_registers",
];

fn main() -> ExitCode {
    let trials = vec![
        trial("every kernel is in the program", every_kernel_is_in_the_program),
        trial(
            "kernels call no instruction by a function",
            kernels_call_no_instruction_by_a_function,
        ),
        trial(
            "nothing of this crate calls a vector instruction by a function",
            nothing_of_this_crate_calls_a_vector_instruction_by_a_function,
        ),
        trial(
            "loops that are compiled for wide registers are inlined there",
            loops_that_are_compiled_for_wide_registers_are_inlined_there,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A trial on the program; ignored, with the reason, where it is none to judge by.
fn trial(behaviour: &str, test: fn(&Program) -> Result<(), Failed>) -> Trial {
    let why_not = if cfg!(debug_assertions) {
        Some("a debug build inlines little")
    } else if cfg!(not(all(target_arch = "x86_64", target_os = "linux"))) {
        Some("instructions of x86-64 in an ELF file are read")
    } else {
        None
    };
    match why_not {
        None => Trial::test(behaviour, move || test(&Program::read(PROGRAM)?)),
        Some(why) => ignored(behaviour, why),
    }
}

fn every_kernel_is_in_the_program(program: &Program) -> Result<(), Failed> {
    let found: BTreeSet<&str> = program.kernels().flat_map(Function::names).collect();
    let missing = KERNELS.map(|kernel| format!("{CPU_DEVICE}{kernel}")).into_iter();
    expect_none(
        "not in the program",
        missing.filter(|kernel| !found.contains(kernel.as_str())),
    )
}

/// Of all that kernels reach within the device.
fn kernels_call_no_instruction_by_a_function(program: &Program) -> Result<(), Failed> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<u64> = program.kernels().map(|kernel| kernel.address).collect();
    let mut calls = Vec::new();
    while let Some(address) = next.pop() {
        let Some(function) = program.functions.get(&address) else {
            continue;
        };
        if !reached.insert(address) {
            continue;
        }
        for callee in program.callees(function) {
            if is_instruction(&callee.name) {
                calls.push(call(function, &callee));
            } else if callee.name.contains(CPU_DEVICE) {
                next.push(callee.address);
            }
        }
    }
    expect_none("instructions by functions", calls.into_iter())
}

fn nothing_of_this_crate_calls_a_vector_instruction_by_a_function(program: &Program) -> Result<(), Failed> {
    let ours = program
        .functions
        .values()
        .filter(|function| function.names().any(is_ours));
    let calls = ours.flat_map(|function| {
        let callees = program.callees(function);
        callees
            .filter(|callee| is_vector_instruction(&callee.name))
            .map(|callee| call(function, &callee))
    });
    expect_none("instructions by functions", calls)
}

/// But for what has no values, and for functions that go to the widest registers themselves.
fn loops_that_are_compiled_for_wide_registers_are_inlined_there(program: &Program) -> Result<(), Failed> {
    let is_wide = |function: &Function| function.names().any(|name| name.starts_with(WIDE));
    let has_values = |function: &Function| {
        let operands = |instruction: Instruction| {
            (0..instruction.op_count()).map(move |operand| instruction.op_register(operand))
        };
        program.code(function).flat_map(operands).any(Register::is_xmm)
    };
    let goes_wide = |function: &Function| program.callees(function).any(|callee| callee.name.contains(WIDE));
    let is_narrow = |callee: &Callee| {
        let function = program.functions.get(&callee.address);
        is_ours(&callee.name) && function.is_some_and(|function| has_values(function) && !goes_wide(function))
    };
    let wide: Vec<_> = program
        .functions
        .values()
        .filter(|function| is_wide(function))
        .collect();
    if wide.is_empty() {
        return Err(format!("no function {WIDE}… in the program").into());
    }
    let calls = wide.into_iter().flat_map(|function| {
        let callees = program.callees(function);
        callees.filter(is_narrow).map(|callee| call(function, &callee))
    });
    expect_none("loops for narrow registers", calls)
}

fn call(function: &Function, callee: &Callee) -> String {
    format!("{} calls {}", function.names.join(", "), callee.name)
}

/// # Errors
/// With all of them, when there are any.
fn expect_none(what: &str, found: impl Iterator<Item = String>) -> Result<(), Failed> {
    let found: BTreeSet<String> = found.collect();
    match found.is_empty() {
        true => Ok(()),
        false => Err(format!("{what}:\n{}", found.into_iter().collect::<Vec<_>>().join("\n")).into()),
    }
}

fn is_ours(name: &str) -> bool {
    name.contains("pi0_node::")
}

/// Whether a function stands for a single instruction: a vector intrinsic, or one of the C library's for machines that lack it.
fn is_instruction(name: &str) -> bool {
    is_vector_instruction(name) || ["fma", "fmaf"].contains(&name)
}

/// Whether a function is an intrinsic of the compiler.
fn is_vector_instruction(name: &str) -> bool {
    let last = name.rsplit("::").next().unwrap_or_default();
    name.contains("core_arch::") && last.starts_with("_mm")
}

struct Function {
    /// More than one where functions with the same code became one.
    names: Vec<String>,
    address: u64,
    length: u64,
}

impl Function {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

/// A function that another one refers to; its address is 0 when it is in another file.
struct Callee {
    name: String,
    address: u64,
}

/// Functions of a program by their addresses, and what else it takes to read them.
struct Program {
    functions: BTreeMap<u64, Function>,
    /// Code of each section by its address.
    sections: BTreeMap<u64, Vec<u8>>,
    /// What each entry of the table of addresses stands for: the address of a function in the program, or the name of another.
    table: BTreeMap<u64, Result<u64, String>>,
}

impl Program {
    /// # Errors
    /// When the file is no program.
    fn read(path: &str) -> Result<Self, Failed> {
        let bytes = fs::read(path)?;
        let file = object::File::parse(&*bytes)?;
        let mut functions = BTreeMap::new();
        for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
            let function = functions.entry(symbol.address()).or_insert(Function {
                names: Vec::new(),
                address: symbol.address(),
                length: symbol.size(),
            });
            function
                .names
                .push(format!("{:#}", rustc_demangle::demangle(symbol.name()?)));
        }
        let mut sections = BTreeMap::new();
        for section in file
            .sections()
            .filter(|section| section.kind() == SectionKind::Text)
        {
            sections.insert(section.address(), section.data()?.to_vec());
        }
        let mut table = BTreeMap::new();
        let names = file.dynamic_symbol_table();
        for (entry, relocation) in file.dynamic_relocations().into_iter().flatten() {
            let stands_for = match (relocation.target(), &names) {
                (RelocationTarget::Symbol(index), Some(names)) => {
                    Err(names.symbol_by_index(index)?.name()?.to_owned())
                }
                _ => Ok(relocation.addend().cast_unsigned()),
            };
            table.insert(entry, stands_for);
        }
        Ok(Self {
            functions,
            sections,
            table,
        })
    }

    fn kernels(&self) -> impl Iterator<Item = &Function> {
        let is_kernel = |name: &String| {
            KERNELS
                .iter()
                .any(|kernel| name.strip_prefix(CPU_DEVICE) == Some(kernel))
        };
        self.functions
            .values()
            .filter(move |function| function.names.iter().any(is_kernel))
    }

    /// All functions that a function calls, jumps to or takes the address of.
    fn callees(&self, function: &Function) -> impl Iterator<Item = Callee> {
        self.code(function)
            .filter_map(|instruction| self.refers_to(&instruction))
    }

    fn code(&self, function: &Function) -> impl Iterator<Item = Instruction> {
        let end = function.address + function.length;
        self.instructions(function.address)
            .take_while(move |instruction| instruction.ip() < end)
    }

    fn instructions(&self, address: u64) -> impl Iterator<Item = Instruction> {
        let section = self.sections.range(..=address).next_back();
        let code = section.and_then(|(start, code)| code.get((address - start) as usize..));
        let mut decoder = Decoder::with_ip(64, code.unwrap_or_default(), address, DecoderOptions::NONE);
        std::iter::from_fn(move || decoder.can_decode().then(|| decoder.decode()))
    }

    fn refers_to(&self, instruction: &Instruction) -> Option<Callee> {
        if instruction.op0_kind() == OpKind::NearBranch64 {
            return self.function_at(instruction.near_branch_target());
        }
        if !instruction.is_ip_rel_memory_operand() {
            return None;
        }
        let address = instruction.ip_rel_memory_address();
        match instruction.mnemonic() {
            Mnemonic::Lea => self.function_at(address),
            _ => self.function_in_table(address),
        }
    }

    fn function_in_table(&self, entry: u64) -> Option<Callee> {
        match self.table.get(&entry)? {
            Ok(address) => self.function_at(*address),
            Err(name) => Some(Callee {
                name: name.clone(),
                address: 0,
            }),
        }
    }

    /// The function that begins there, or to which a jump by the table leads from there.
    fn function_at(&self, address: u64) -> Option<Callee> {
        if let Some(function) = self.functions.get(&address) {
            return Some(Callee {
                name: function.names.join(", "),
                address,
            });
        }
        let jump = self
            .instructions(address)
            .find(|instruction| instruction.mnemonic() != Mnemonic::Endbr64)?;
        let by_table = jump.mnemonic() == Mnemonic::Jmp && jump.is_ip_rel_memory_operand();
        by_table.then(|| self.function_in_table(jump.ip_rel_memory_address()))?
    }
}
