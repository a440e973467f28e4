//! Parameter files, and parameters of a command line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pi0_node::parameters::{Parameters, parameters_of, parse_override};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    pi0_fuzz::bounded(input, || {
        if let Ok(parameters) = parameters_of(text, "/pi0_node") {
            let _ = Parameters::from_overrides(parameters.into_iter());
        }
        let _ = parse_override(text);
    });
});
