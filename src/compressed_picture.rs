//! Pictures in JPEG or PNG, of cameras and of a server's clients.

use std::io::Cursor;
use std::panic::catch_unwind;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

/// Longest side of a picture, in pixels.
pub const MAX_SIDE: u32 = 8192;
/// Most pixels of a compressed picture, those of a 4K camera: a file of some bytes may claim any number, and decoding takes
/// several bytes for each.
pub const MAX_PIXELS: u32 = 4096 * 2160;

/// Decodes a picture. Alpha is dropped, grey becomes three equal channels.
///
/// # Errors
/// When it is neither JPEG nor PNG, has too many pixels, or is damaged, in one sentence.
pub fn decode(bytes: &[u8]) -> Result<RgbImage, String> {
    // png 0.18.1 panics at a palette of a wrong length.
    catch_unwind(|| decode_sound(bytes)).unwrap_or_else(|_| Err("its decoder gave up on it".to_owned()))
}

fn decode_sound(bytes: &[u8]) -> Result<RgbImage, String> {
    let kind = match image::guess_format(bytes) {
        Ok(kind @ (ImageFormat::Jpeg | ImageFormat::Png)) => kind,
        _ => return Err("expected JPEG or PNG".to_owned()),
    };
    let mut limits = Limits::default();
    limits.max_alloc = Some(8 * u64::from(MAX_PIXELS));
    let mut reader = ImageReader::with_format(Cursor::new(bytes), kind);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if width.max(height) > MAX_SIDE || pixels > u64::from(MAX_PIXELS) {
        return Err(format!(
            "it has {width} × {height} pixels, expected at most {MAX_PIXELS}, and {MAX_SIDE} a side"
        ));
    }
    let picture = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
    Ok(picture.into_rgb8())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        let black = image::GrayImage::new(width, height);
        black.write_to(&mut file, ImageFormat::Png).unwrap();
        file.into_inner()
    }

    #[test]
    fn a_picture_of_a_4k_camera_is_decoded() {
        assert_eq!(decode(&png(3840, 2160)).unwrap().dimensions(), (3840, 2160));
    }

    #[test]
    fn a_picture_of_too_many_pixels_is_refused_with_their_number() {
        for (width, height) in [(8193, 1), (4096, 2161)] {
            let refused = decode(&png(width, height)).unwrap_err();
            assert!(
                refused.contains(&format!("{width} × {height} pixels")),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_palette_of_a_wrong_length_is_refused() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x03\0\0\0\x28\xcb\x34\xbb\
            \0\0\0\x04PLTE\0\0\0\0\xb4\xa3\xae\x7a\0\0\0\x0aIDAT\x78\x9c\x63\x60\0\0\0\x02\0\x01\x48\xaf\xa4\x71\
            \0\0\0\0IEND\xae\x42\x60\x82";
        assert!(decode(png).is_err());
    }

    #[test]
    fn what_is_neither_jpeg_nor_png_is_refused() {
        for bytes in [&b""[..], b"GIF89a", b"RIFF....WEBP"] {
            assert_eq!(decode(bytes).unwrap_err(), "expected JPEG or PNG");
        }
    }
}
