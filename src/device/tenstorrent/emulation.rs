//! Programs of our own kernels, compiled for the host and run on an emulated core (kernels/emulation).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tt_metal_sys::{Kernel, Program};

/// A tensor in DRAM, page after page.
pub(super) struct Pages {
    pub page_bytes: usize,
    pub bytes: Vec<u8>,
}

/// Divisor by which the addresses of a read from DRAM to a core have the same remainder.
pub(super) const WORMHOLE_DRAM_ALIGNMENT: usize = 32;
pub(super) const BLACKHOLE_DRAM_ALIGNMENT: usize = 64;

/// Runs a program on tensors, the last of which it writes and returns, or the reason for which the emulation
/// refused it.
pub(super) fn run(program: &Program, tensors: &[Pages], dram_alignment: usize) -> Result<Vec<u8>, String> {
    let folder = tempfile::tempdir().unwrap();
    let address = |index: usize| (4096 * (index + 1)) as u32;
    let aligned = |tensor: &Pages| tensor.page_bytes.next_multiple_of(dram_alignment) as u32;
    let arguments = |kernel: &Kernel| {
        let accessors = kernel.tensors.iter().flat_map(|&index| {
            const INTERLEAVED_IN_DRAM: u32 = 2;
            [INTERLEAVED_IN_DRAM, aligned(&tensors[index])]
        });
        let all = kernel.compile_time_args.iter().copied().chain(accessors);
        all.map(|arg| arg.to_string()).collect::<Vec<_>>().join(",")
    };
    std::fs::write(folder.path().join("reader.cpp"), program.reader.source).unwrap();
    std::fs::write(folder.path().join("writer.cpp"), program.writer.source).unwrap();
    let emulation = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels/emulation");
    let executable = folder.path().join("program");
    let compiled = Command::new(compiler())
        .args([
            "c++",
            "-std=c++17",
            "-O1",
            "-g0",
            "-fno-exceptions",
            "-fno-rtti",
            "-nostdlib++",
        ])
        .args([
            "-Wall",
            "-Werror",
            "-Wno-c++20-designator",
            "-fsanitize=undefined",
            "-fsanitize-trap=undefined",
        ])
        .arg(format!("-DREADER_ARGS={}", arguments(&program.reader)))
        .arg(format!("-DWRITER_ARGS={}", arguments(&program.writer)))
        .arg("-I")
        .arg(&emulation)
        .arg("-I")
        .arg(folder.path())
        .arg(emulation.join("run_program.cpp"))
        .arg("-o")
        .arg(&executable)
        .env(
            "ZIG_GLOBAL_CACHE_DIR",
            concat!(env!("CARGO_MANIFEST_DIR"), "/target/zig-cache"),
        )
        .output()
        .unwrap();
    assert!(
        compiled.status.success(),
        "{}",
        String::from_utf8_lossy(&compiled.stderr)
    );

    let mut words = vec![dram_alignment as u32, program.circular_buffers.len() as u32];
    for buffer in &program.circular_buffers {
        words.extend([u32::from(buffer.index), buffer.pages, buffer.page_bytes]);
    }
    words.push(tensors.len() as u32);
    for (index, tensor) in tensors.iter().enumerate() {
        let pages = tensor.bytes.len() / tensor.page_bytes;
        words.extend([
            address(index),
            pages as u32,
            tensor.page_bytes as u32,
            aligned(tensor),
        ]);
    }
    for kernel in [&program.reader, &program.writer] {
        words.push(kernel.tensors.len() as u32);
        words.extend(kernel.tensors.iter().map(|&index| address(index)));
    }
    words.extend([
        program.columns * program.rows,
        program.reader.core_args[0].len() as u32,
    ]);
    for args in program.reader.core_args.iter().zip(&program.writer.core_args) {
        words.extend(args.0.iter().chain(args.1));
    }
    let mut input: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
    let (_, inputs) = tensors.split_last().expect("a tensor to write");
    inputs.iter().for_each(|tensor| input.extend(&tensor.bytes));

    let mut child = Command::new(executable)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // What refuses the program early does not read all of it.
    let _ = child.stdin.take().unwrap().write_all(&input);
    let output = child.wait_with_output().unwrap();
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The mock device's C++ compiler, as not every machine has one.
fn compiler() -> PathBuf {
    let missing = "run tools/tenstorrent/install.sh --mock and source tools/tenstorrent/env.sh";
    let environment = std::env::var("PI0_TTNN_ENVIRONMENT").expect(missing);
    let pythons = Path::new(&environment).join("lib").read_dir().expect(missing);
    pythons
        .map(|python| python.unwrap().path().join("site-packages/ziglang/zig"))
        .find(|zig| zig.exists())
        .expect(missing)
}
