//! JPEG and PNG pictures, of cameras and of a server's clients.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pi0_node::observation::decode_compressed_image;
use pi0_node::protocol::{Value, picture_from};

/// The largest pictures take more, however few their bytes are.
const MORE: usize = 64 << 20;

fuzz_target!(init: pi0_fuzz::let_panics_be_caught(), |input: &[u8]| {
    pi0_fuzz::bounded_above(MORE, input, || {
        let of_camera = decode_compressed_image("jpeg", input);
        let of_client = picture_from(&Value::Bytes(input.into()));
        if let (Ok(of_camera), Ok(of_client)) = (of_camera, of_client) {
            assert_eq!(of_camera, of_client);
        }
    });
});
