//! The pixels of a compressed camera message.

use image::RgbImage;

use super::InputProblem;
use crate::compressed_picture;

/// Decodes the picture of a `sensor_msgs/CompressedImage`: JPEG or PNG, whatever its `format` field holds, for writers differ in
/// what they put there. Alpha is dropped, grey becomes three equal channels.
///
/// # Errors
/// When the picture is neither of the two, has more pixels than a 4K camera, or is damaged.
pub fn decode_compressed_image(format: &str, picture: &[u8]) -> Result<RgbImage, InputProblem> {
    compressed_picture::decode(picture).map_err(|problem| InputProblem::Picture {
        format: format.to_owned(),
        problem,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::ImageFormat;

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
