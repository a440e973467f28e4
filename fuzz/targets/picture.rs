//! JPEG and PNG pictures, of cameras and of a server's clients.
#![no_main]

use std::io::Cursor;
use std::panic::catch_unwind;

use libfuzzer_sys::fuzz_target;
use pi0_node::image::ImageReader;
use pi0_node::observation::decode_compressed_image;
use pi0_node::protocol::{Value, picture_from};

/// The largest pictures take more, however few their bytes are.
const MORE: usize = 64 << 20;
/// Pictures of more pixels take so long that few of them are decoded.
const MANY_PIXELS: u64 = 256 * 256;
const ONE_IN: u32 = 64;

fn takes_long(input: &[u8]) -> bool {
    let size = || {
        let reader = ImageReader::new(Cursor::new(input)).with_guessed_format();
        reader.ok()?.into_dimensions().ok()
    };
    // As the reader itself, see pi0_node::compressed_picture.
    let size = catch_unwind(size).unwrap_or(None);
    size.is_some_and(|(width, height)| u64::from(width) * u64::from(height) > MANY_PIXELS)
}

fuzz_target!(init: pi0_fuzz::let_panics_be_caught(), |input: &[u8]| {
    if takes_long(input) && !crc32c::crc32c(input).is_multiple_of(ONE_IN) {
        return;
    }
    pi0_fuzz::bounded_above(MORE, input, || {
        let of_camera = decode_compressed_image("jpeg", input);
        let of_client = picture_from(&Value::Bytes(input.into()));
        if let (Ok(of_camera), Ok(of_client)) = (of_camera, of_client) {
            assert_eq!(of_camera, of_client);
        }
    });
});
