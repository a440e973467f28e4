//! The pixels of a compressed camera message.

use image::{ImageFormat, RgbImage};

use super::InputProblem;

/// Decodes the picture of a `sensor_msgs/CompressedImage`: JPEG or PNG, whatever its `format` field holds, for writers differ in
/// what they put there. Alpha is dropped, grey becomes three equal channels.
///
/// # Errors
/// When the picture is neither of the two, or damaged.
pub fn decode_compressed_image(format: &str, picture: &[u8]) -> Result<RgbImage, InputProblem> {
    let problem = |problem: String| InputProblem::Picture {
        format: format.to_owned(),
        problem,
    };
    let guessed = image::guess_format(picture).ok();
    let Some(kind @ (ImageFormat::Jpeg | ImageFormat::Png)) = guessed else {
        return Err(problem("expected JPEG or PNG".to_owned()));
    };
    image::load_from_memory_with_format(picture, kind)
        .map(|image| image.into_rgb8())
        .map_err(|error| problem(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let mut picture = Cursor::new(Vec::new());
        let grey = image::GrayImage::from_pixel(8, 6, image::Luma([100]));
        grey.write_to(&mut picture, format).unwrap();
        picture.into_inner()
    }

    #[test]
    fn jpeg_and_png_are_read_whatever_the_format_field_says() {
        for kind in [ImageFormat::Jpeg, ImageFormat::Png] {
            let image = decode_compressed_image("rgb8; jpeg compressed bgr8", &encoded(kind)).unwrap();
            assert_eq!(image.dimensions(), (8, 6));
            assert!(
                image
                    .get_pixel(3, 3)
                    .0
                    .iter()
                    .all(|value| value.abs_diff(100) < 3)
            );
        }
    }

    #[test]
    fn another_format_and_a_damaged_picture_are_refused_and_the_format_named() {
        let mut damaged = encoded(ImageFormat::Png);
        damaged.truncate(20);
        for picture in [&b"RIFF....WEBP"[..], &damaged, &[]] {
            let problem = decode_compressed_image("webp", picture).unwrap_err();
            assert!(problem.to_string().contains("\"webp\""), "{problem}");
        }
    }
}
