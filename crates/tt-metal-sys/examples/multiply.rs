//! Multiplies two matrices on a card, or has TT-NN check and build that on a mock card:
//! `multiply [--mock DESCRIPTOR CACHE]`.

use std::path::PathBuf;

use tt_metal_sys::{
    Affine, ComputeKernel, Device, Dtype, Error, Fidelity, GraphCapture, Layout, Memory, MockCard, Runtime,
    Sums,
};

const ROWS: usize = 64;
const INPUTS: usize = 96;
const OUTPUTS: usize = 32;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (runtime, is_mock) = match &arguments[..] {
        [] => (Runtime::load()?, false),
        [option, descriptor, cache] if option == "--mock" => {
            let mock = MockCard {
                descriptor: PathBuf::from(descriptor),
                // The compiler runs in other folders.
                cache: std::path::absolute(cache).expect("a path"),
            };
            (Runtime::load_for(&mock)?, true)
        }
        _ => {
            eprintln!("usage: multiply [--mock DESCRIPTOR CACHE]");
            std::process::exit(2);
        }
    };
    println!("TT-NN {}", runtime.version());
    let card = Device::open(runtime, 0, 0)?;
    let (columns, rows) = card.core_grid()?;
    println!("{:?}, {columns} × {rows} cores", card.arch()?);

    // Row r of x is r in every place, and column c of the weight c / INPUTS: their product is r · c.
    let x: Vec<f32> = (0..ROWS * INPUTS).map(|index| (index / INPUTS) as f32).collect();
    let weight: Vec<f32> = (0..INPUTS * OUTPUTS)
        .map(|index| (index % OUTPUTS) as f32 / INPUTS as f32)
        .collect();
    let x = card.upload(&x, &[1, 1, ROWS, INPUTS], Dtype::Bf16, Layout::Tile)?;
    let weight = card.upload(&weight, &[1, 1, INPUTS, OUTPUTS], Dtype::Bf16, Layout::Tile)?;
    let affine = Affine {
        weight: &weight,
        bias: None,
    };
    let exactly = ComputeKernel {
        fidelity: Fidelity::HiFi4,
        sums: Sums::F32,
    };
    let product = card.linear(&x, affine, exactly, Memory::Dram)?;
    if is_mock {
        let capture = GraphCapture::begin(&card)?;
        card.linear(&x, affine, exactly, Memory::Dram)?;
        let graph = capture.end()?;
        println!("accepted; the record of its graph has {} bytes", graph.len());
        return Ok(());
    }
    let product = card.read_back(&product)?;
    let largest = product.iter().enumerate().map(|(index, value)| {
        let expected = (index / OUTPUTS * (index % OUTPUTS)) as f32;
        (value - expected).abs() / (1.0 + expected)
    });
    println!(
        "off by {:.4} at most, as a share of one plus the value",
        largest.fold(0.0, f32::max)
    );
    Ok(())
}
