//! The pixels of a camera message.

use image::RgbImage;

use super::InputProblem;

/// The fields of a `sensor_msgs/Image` that say what its bytes mean.
#[derive(Clone, Copy, Debug)]
pub struct ImageLayout<'a> {
    pub width: u32,
    pub height: u32,
    /// Bytes from the beginning of a row to that of the next.
    pub step: u32,
    pub encoding: &'a str,
}

/// Where the red, green and blue of a pixel lie, and how many bytes it has.
const ENCODINGS: [(&str, [usize; 3], usize); 5] = [
    ("rgb8", [0, 1, 2], 3),
    ("bgr8", [2, 1, 0], 3),
    ("rgba8", [0, 1, 2], 4),
    ("bgra8", [2, 1, 0], 4),
    ("mono8", [0, 0, 0], 1),
];

/// The image that `data` holds. Alpha is dropped, grey becomes three equal channels, bytes after a row are skipped.
///
/// # Errors
/// When the encoding is none of rgb8, bgr8, rgba8, bgra8 and mono8, there is no pixel, or bytes are missing.
pub fn decode_image(layout: ImageLayout<'_>, data: &[u8]) -> Result<RgbImage, InputProblem> {
    let ImageLayout {
        width, height, step, ..
    } = layout;
    let Some(&(_, channels, pixel_bytes)) = ENCODINGS.iter().find(|(name, ..)| *name == layout.encoding)
    else {
        return Err(InputProblem::Encoding {
            found: layout.encoding.to_owned(),
        });
    };
    if width == 0 || height == 0 {
        return Err(InputProblem::EmptyImage { width, height });
    }
    let row_bytes = width as usize * pixel_bytes;
    if (step as usize) < row_bytes {
        return Err(InputProblem::Step {
            found: step,
            expected: row_bytes,
        });
    }
    let expected = u64::from(height) * u64::from(step);
    if (data.len() as u64) < expected {
        return Err(InputProblem::ImageData {
            found: data.len(),
            expected,
            height,
            step,
        });
    }
    let mut image = RgbImage::new(width, height);
    let rows = data.chunks_exact(step as usize);
    for (target, source) in image.chunks_exact_mut(width as usize * 3).zip(rows) {
        let source = &source[..row_bytes];
        if layout.encoding == "rgb8" {
            target.copy_from_slice(source);
            continue;
        }
        for (to, from) in target.chunks_exact_mut(3).zip(source.chunks_exact(pixel_bytes)) {
            to.copy_from_slice(&channels.map(|channel| from[channel]));
        }
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(encoding: &str, width: u32, height: u32, step: u32) -> ImageLayout<'_> {
        ImageLayout {
            width,
            height,
            step,
            encoding,
        }
    }

    #[test]
    fn every_encoding_gives_red_green_blue() {
        let cases: [(&str, &[u8]); 5] = [
            ("rgb8", &[1, 2, 3, 4, 5, 6]),
            ("bgr8", &[3, 2, 1, 6, 5, 4]),
            ("rgba8", &[1, 2, 3, 9, 4, 5, 6, 9]),
            ("bgra8", &[3, 2, 1, 9, 6, 5, 4, 9]),
            ("mono8", &[7, 8]),
        ];
        for (encoding, data) in cases {
            let image = decode_image(layout(encoding, 2, 1, data.len() as u32), data).unwrap();
            let expected: &[u8] = if encoding == "mono8" {
                &[7, 7, 7, 8, 8, 8]
            } else {
                &[1, 2, 3, 4, 5, 6]
            };
            assert_eq!(image.as_raw().as_slice(), expected, "{encoding}");
        }
    }

    #[test]
    fn bytes_between_rows_are_skipped() {
        let data = [1, 2, 3, 0, 0, 4, 5, 6, 0, 0];
        for (encoding, expected) in [("rgb8", [1, 2, 3, 4, 5, 6]), ("bgr8", [3, 2, 1, 6, 5, 4])] {
            let image = decode_image(layout(encoding, 1, 2, 5), &data).unwrap();
            assert_eq!(image.as_raw().as_slice(), expected);
        }
    }

    #[test]
    fn an_unknown_encoding_is_named() {
        let problem = decode_image(layout("yuv422", 1, 1, 2), &[0, 0]).unwrap_err();
        assert!(problem.to_string().contains("yuv422"), "{problem}");
    }

    #[test]
    fn an_image_without_pixels_is_refused() {
        for (width, height) in [(0, 5), (5, 0), (0, 0)] {
            let problem = decode_image(layout("rgb8", width, height, 15), &[0; 75]).unwrap_err();
            assert_eq!(problem, InputProblem::EmptyImage { width, height });
        }
    }

    #[test]
    fn data_shorter_than_height_times_step_is_refused() {
        let problem = decode_image(layout("rgb8", 2, 2, 6), &[0; 11]).unwrap_err();
        assert!(
            problem.to_string().contains("11 bytes") && problem.to_string().contains("12"),
            "{problem}"
        );
        let huge = decode_image(layout("mono8", u32::MAX, u32::MAX, u32::MAX), &[0; 4]);
        assert!(matches!(huge, Err(InputProblem::ImageData { .. })));
    }

    #[test]
    fn a_step_shorter_than_a_row_is_refused() {
        let problem = decode_image(layout("rgb8", 2, 2, 5), &[0; 12]).unwrap_err();
        assert_eq!(
            problem,
            InputProblem::Step {
                found: 5,
                expected: 6
            }
        );
    }
}
