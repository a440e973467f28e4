//! The pixels of a camera message.

use image::RgbImage;

use super::{ChannelOrder, InputProblem};

/// The fields of a `sensor_msgs/Image` that say what its bytes mean.
#[derive(Clone, Copy, Debug)]
pub struct ImageLayout<'a> {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes from the beginning of a row to that of the next.
    pub step: u32,
    /// Encoding as in `sensor_msgs/image_encodings`.
    pub encoding: &'a str,
    /// Byte order of samples of 16 bits.
    pub is_big_endian: bool,
    /// Order of the colours where the encoding leaves it open.
    pub channel_order: ChannelOrder,
}

/// How the bytes of a pixel become red, green and blue.
#[derive(Clone, Copy, Debug)]
enum Pixels {
    /// Where red, green and blue lie among the samples of a pixel, how many samples it has, and the bytes of each.
    Samples {
        rgb: [usize; 3],
        samples: usize,
        bytes: usize,
    },
    /// Two pixels in four bytes: where the two brightnesses lie, and the two colour differences (blue, red).
    Yuv422 { luma: [usize; 2], chroma: [usize; 2] },
    /// A plane of brightnesses, then one with two colour differences for each square of four pixels: where blue and red
    /// lie among the two.
    Yuv420 { chroma: [usize; 2] },
}

const fn samples(rgb: [usize; 3], samples: usize, bytes: usize) -> Pixels {
    Pixels::Samples { rgb, samples, bytes }
}

const UYVY: Pixels = Pixels::Yuv422 {
    luma: [1, 3],
    chroma: [0, 2],
};
const YUYV: Pixels = Pixels::Yuv422 {
    luma: [0, 2],
    chroma: [1, 3],
};

const MONO8: Pixels = samples([0, 0, 0], 1, 1);

/// The names of `sensor_msgs/image_encodings.hpp`, and `nv12`, which drivers use beside them.
const ENCODINGS: [(&str, Pixels); 17] = [
    ("rgb8", samples([0, 1, 2], 3, 1)),
    ("bgr8", samples([2, 1, 0], 3, 1)),
    ("rgba8", samples([0, 1, 2], 4, 1)),
    ("bgra8", samples([2, 1, 0], 4, 1)),
    ("mono8", MONO8),
    ("8UC1", MONO8),
    ("rgb16", samples([0, 1, 2], 3, 2)),
    ("bgr16", samples([2, 1, 0], 3, 2)),
    ("rgba16", samples([0, 1, 2], 4, 2)),
    ("bgra16", samples([2, 1, 0], 4, 2)),
    ("mono16", samples([0, 0, 0], 1, 2)),
    ("uyvy", UYVY),
    ("yuv422", UYVY),
    ("yuyv", YUYV),
    ("yuv422_yuy2", YUYV),
    ("nv12", Pixels::Yuv420 { chroma: [0, 1] }),
    ("nv21", Pixels::Yuv420 { chroma: [1, 0] }),
];

/// OpenCV's names of pixels with several samples, which do not say what the samples are, and the names that do.
const WITHOUT_ORDER: [(&str, &str, &str); 4] = [
    ("8UC3", "rgb8", "bgr8"),
    ("8UC4", "rgba8", "bgra8"),
    ("16UC3", "rgb16", "bgr16"),
    ("16UC4", "rgba16", "bgra16"),
];

/// The image that `data` holds. Alpha is dropped, grey becomes three equal channels, 16 bits are scaled to 8 as
/// `cv_bridge` does, YUV is converted as by ITU-R BT.601 in video range (OpenCV's `COLOR_YUV2RGB_UYVY` and
/// `COLOR_YUV2RGB_NV12`, from which a value may differ by 1), bytes after a row are skipped.
///
/// # Errors
/// When the encoding is none of these, there is no pixel, or bytes are missing.
pub fn decode_image(layout: ImageLayout<'_>, data: &[u8]) -> Result<RgbImage, InputProblem> {
    let ImageLayout {
        width, height, step, ..
    } = layout;
    let pixels = pixels_of(layout.encoding, layout.channel_order)?;
    let is_whole = match pixels {
        Pixels::Samples { .. } => true,
        Pixels::Yuv422 { .. } => width.is_multiple_of(2),
        Pixels::Yuv420 { .. } => width.is_multiple_of(2) && height.is_multiple_of(2),
    };
    if width == 0 || height == 0 || !is_whole {
        return Err(InputProblem::ImageSize { width, height });
    }
    let pixel_bytes = match pixels {
        Pixels::Samples { samples, bytes, .. } => samples * bytes,
        Pixels::Yuv422 { .. } => 2,
        Pixels::Yuv420 { .. } => 1,
    };
    let row_bytes = width as usize * pixel_bytes;
    if (step as usize) < row_bytes {
        return Err(InputProblem::Step {
            found: step,
            expected: row_bytes,
        });
    }
    let rows_of_bytes = match pixels {
        Pixels::Samples { .. } | Pixels::Yuv422 { .. } => u64::from(height),
        Pixels::Yuv420 { .. } => u64::from(height) + u64::from(height / 2),
    };
    let expected = rows_of_bytes.saturating_mul(u64::from(step));
    if (data.len() as u64) < expected {
        return Err(InputProblem::ImageData {
            found: data.len(),
            expected,
            rows: rows_of_bytes,
            step,
        });
    }
    let mut image = RgbImage::new(width, height);
    let row = |row: usize| &data[row * step as usize..][..row_bytes];
    for (index, target) in image.chunks_exact_mut(width as usize * 3).enumerate() {
        let differences: &[u8] = match pixels {
            Pixels::Samples { .. } | Pixels::Yuv422 { .. } => &[],
            Pixels::Yuv420 { .. } => row(height as usize + index / 2),
        };
        decode_row(pixels, layout.is_big_endian, row(index), differences, target);
    }
    Ok(image)
}

/// How the bytes of an encoding become colours.
///
/// # Errors
/// The problem of an encoding that is not converted, with the way out where there is one.
fn pixels_of(encoding: &str, channel_order: ChannelOrder) -> Result<Pixels, InputProblem> {
    let found = || encoding.to_owned();
    let mut named = encoding;
    if let Some((_, rgb, bgr)) = WITHOUT_ORDER.into_iter().find(|(name, ..)| *name == encoding) {
        named = match channel_order {
            ChannelOrder::Rgb => rgb,
            ChannelOrder::Bgr => bgr,
            ChannelOrder::Unknown => {
                let found = found();
                return Err(InputProblem::ColourOrder { found, rgb, bgr });
            }
        };
    }
    if encoding.starts_with("bayer_") {
        return Err(InputProblem::Bayer(found()));
    }
    let known = ENCODINGS.into_iter().find(|(name, _)| *name == named);
    known
        .map(|(_, pixels)| pixels)
        .ok_or_else(|| InputProblem::Encoding {
            found: found(),
            expected: ENCODINGS.map(|(name, _)| name).join(", "),
        })
}

/// Decodes one row of pixels. `differences` are its colour differences where they lie in a plane of their own.
fn decode_row(pixels: Pixels, is_big_endian: bool, source: &[u8], differences: &[u8], target: &mut [u8]) {
    match pixels {
        Pixels::Samples {
            rgb: [0, 1, 2],
            samples: 3,
            bytes: 1,
        } => target.copy_from_slice(source),
        Pixels::Samples {
            rgb,
            samples,
            bytes: 1,
        } => {
            for (to, from) in target.chunks_exact_mut(3).zip(source.chunks_exact(samples)) {
                to.copy_from_slice(&rgb.map(|sample| from[sample]));
            }
        }
        Pixels::Samples { rgb, samples, .. } => {
            let scaled = |bytes: [u8; 2]| {
                if is_big_endian {
                    to_8_bits(u16::from_be_bytes(bytes))
                } else {
                    to_8_bits(u16::from_le_bytes(bytes))
                }
            };
            for (to, from) in target.chunks_exact_mut(3).zip(source.chunks_exact(2 * samples)) {
                to.copy_from_slice(&rgb.map(|sample| scaled([from[2 * sample], from[2 * sample + 1]])));
            }
        }
        Pixels::Yuv420 { chroma } => {
            let pairs = source.chunks_exact(2).zip(differences.chunks_exact(2));
            for (to, (luma, difference)) in target.chunks_exact_mut(6).zip(pairs) {
                let [blue, red] = chroma.map(|place| difference[place]);
                to[..3].copy_from_slice(&rgb_of_yuv(luma[0], blue, red));
                to[3..].copy_from_slice(&rgb_of_yuv(luma[1], blue, red));
            }
        }
        Pixels::Yuv422 { luma, chroma } => {
            for (to, from) in target.chunks_exact_mut(6).zip(source.chunks_exact(4)) {
                let [blue, red] = chroma.map(|place| from[place]);
                to[..3].copy_from_slice(&rgb_of_yuv(from[luma[0]], blue, red));
                to[3..].copy_from_slice(&rgb_of_yuv(from[luma[1]], blue, red));
            }
        }
    }
}

/// 65535 to 255, rounded.
fn to_8_bits(value: u16) -> u8 {
    ((u32::from(value) + 128) / 257) as u8
}

fn rgb_of_yuv(y: u8, u: u8, v: u8) -> [u8; 3] {
    let y = 1.164 * (f32::from(y) - 16.0).max(0.0);
    let (u, v) = (f32::from(u) - 128.0, f32::from(v) - 128.0);
    [y + 1.596 * v, y - 0.391 * u - 0.813 * v, y + 2.018 * u].map(|value| value.round() as u8)
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
            is_big_endian: false,
            channel_order: ChannelOrder::Unknown,
        }
    }

    #[test]
    fn every_encoding_gives_red_green_blue() {
        let cases: [(&str, &[u8]); 6] = [
            ("rgb8", &[1, 2, 3, 4, 5, 6]),
            ("bgr8", &[3, 2, 1, 6, 5, 4]),
            ("rgba8", &[1, 2, 3, 9, 4, 5, 6, 9]),
            ("bgra8", &[3, 2, 1, 9, 6, 5, 4, 9]),
            ("mono8", &[7, 8]),
            ("8UC1", &[7, 8]),
        ];
        for (encoding, data) in cases {
            let image = decode_image(layout(encoding, 2, 1, data.len() as u32), data).unwrap();
            let expected: &[u8] = if data.len() == 2 {
                &[7, 7, 7, 8, 8, 8]
            } else {
                &[1, 2, 3, 4, 5, 6]
            };
            assert_eq!(image.as_raw().as_slice(), expected, "{encoding}");
        }
    }

    #[test]
    fn sixteen_bits_are_scaled_to_eight_in_either_byte_order() {
        for (value, expected) in [
            (0, 0),
            (128, 0),
            (129, 1),
            (0x8000, 128),
            (65406, 254),
            (65535, 255),
        ] {
            let value: u16 = value;
            for is_big_endian in [false, true] {
                let bytes = if is_big_endian {
                    value.to_be_bytes()
                } else {
                    value.to_le_bytes()
                };
                let layout = |encoding, step| ImageLayout {
                    is_big_endian,
                    ..layout(encoding, 1, 1, step)
                };
                let grey = decode_image(layout("mono16", 2), &bytes).unwrap();
                assert_eq!(grey.as_raw().as_slice(), [expected; 3], "{value}");
                let pixel = [&bytes[..], &[0, 0, 255, 255, 7, 7]].concat();
                let rgb = decode_image(layout("rgba16", 8), &pixel).unwrap();
                assert_eq!(rgb.as_raw().as_slice(), [expected, 0, 255]);
                let bgr = decode_image(layout("bgr16", 6), &pixel[..6]).unwrap();
                assert_eq!(bgr.as_raw().as_slice(), [255, 0, expected]);
            }
        }
    }

    /// The colours of the standard's colour bars at 75 %: Y, U, V and their R, G, B.
    #[test]
    fn yuv_follows_the_colour_bars_of_bt_601() {
        let bars = [
            ([180, 128, 128], [191, 191, 191]),
            ([162, 44, 142], [191, 191, 0]),
            ([131, 156, 44], [0, 191, 191]),
            ([112, 72, 58], [0, 191, 0]),
            ([84, 184, 198], [191, 0, 191]),
            ([65, 100, 212], [191, 0, 0]),
            ([35, 212, 114], [0, 0, 191]),
            ([16, 128, 128], [0, 0, 0]),
            ([235, 128, 128], [255, 255, 255]),
        ];
        for ([y, u, v], rgb) in bars {
            for (encoding, data) in [
                ("uyvy", [u, 16, v, y]),
                ("yuv422", [u, 16, v, y]),
                ("yuyv", [16, u, y, v]),
                ("yuv422_yuy2", [16, u, y, v]),
            ] {
                let image = decode_image(layout(encoding, 2, 1, 4), &data).unwrap();
                let found = image.get_pixel(1, 0).0;
                for (found, expected) in found.iter().zip(rgb) {
                    assert!(
                        found.abs_diff(expected) <= 2,
                        "{encoding} {y} {u} {v}: {found} and {expected}"
                    );
                }
            }
        }
        let odd = decode_image(layout("uyvy", 1, 1, 4), &[0; 4]);
        assert_eq!(odd, Err(InputProblem::ImageSize { width: 1, height: 1 }));
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
    fn an_encoding_that_is_not_converted_is_refused_with_the_way_out() {
        for (encoding, way_out) in [
            ("16UC1", "mono16"),
            ("8UC3", "as rgb8 or bgr8"),
            ("8UC3", "cameras.<name>.channel_order to rgb or bgr"),
            ("8UC4", "as rgba8 or bgra8"),
            ("16UC3", "as rgb16 or bgr16"),
            ("bayer_rggb8", "image_proc"),
        ] {
            let problem = decode_image(layout(encoding, 1, 1, 8), &[0; 8]).unwrap_err();
            let problem = problem.to_string();
            assert!(
                problem.contains(encoding) && problem.contains(way_out),
                "{problem}"
            );
        }
    }

    #[test]
    fn an_encoding_without_an_order_of_colours_has_the_one_of_the_parameter() {
        for (encoding, step) in [("8UC3", 3), ("8UC4", 4), ("16UC3", 6), ("16UC4", 8)] {
            let bytes: Vec<u8> = if step < 5 {
                vec![10, 20, 30, 9]
            } else {
                // Little-endian samples of 257 times the value.
                [10, 20, 30, 9].iter().flat_map(|&value| [value, value]).collect()
            };
            for (channel_order, expected) in [
                (ChannelOrder::Rgb, [10, 20, 30]),
                (ChannelOrder::Bgr, [30, 20, 10]),
            ] {
                let layout = ImageLayout {
                    channel_order,
                    ..layout(encoding, 1, 1, step)
                };
                let image = decode_image(layout, &bytes).unwrap();
                assert_eq!(
                    image.as_raw().as_slice(),
                    expected,
                    "{encoding} {channel_order:?}"
                );
            }
        }
    }

    #[test]
    fn an_encoding_that_has_an_order_of_colours_keeps_it() {
        let layout = ImageLayout {
            channel_order: ChannelOrder::Bgr,
            ..layout("rgb8", 1, 1, 3)
        };
        let image = decode_image(layout, &[1, 2, 3]).unwrap();
        assert_eq!(image.as_raw().as_slice(), [1, 2, 3]);
    }

    /// Y, U, V and the R, G, B that OpenCV 4 makes of them (`cvtColor` with `COLOR_YUV2RGB_NV12`).
    const OPENCV: [([u8; 3], [u8; 3]); 10] = [
        ([0, 0, 0], [0, 154, 0]),
        ([16, 128, 128], [0, 0, 0]),
        ([235, 128, 128], [255, 255, 255]),
        ([81, 90, 240], [254, 0, 0]),
        ([145, 54, 34], [0, 255, 1]),
        ([41, 240, 110], [0, 0, 255]),
        ([255, 255, 255], [255, 125, 255]),
        ([100, 7, 201], [214, 86, 0]),
        ([200, 130, 126], [211, 215, 218]),
        ([17, 127, 129], [3, 1, 0]),
    ];

    /// OpenCV's conversion in whole numbers, with 20 bits after the point.
    fn opencv_rgb([y, u, v]: [u8; 3]) -> [u8; 3] {
        let luma = (i32::from(y) - 16).max(0) * 1_220_542 + (1 << 19);
        let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
        let sums = [1_673_527 * v, -852_492 * v - 409_993 * u, 2_116_026 * u];
        sums.map(|sum| ((luma + sum) >> 20).clamp(0, 255) as u8)
    }

    #[test]
    fn the_whole_numbers_of_these_tests_are_those_of_opencv() {
        for (yuv, rgb) in OPENCV {
            assert_eq!(opencv_rgb(yuv), rgb, "{yuv:?}");
        }
    }

    /// A picture of 256 × 512 pixels for each blue difference: brightness along the width, red difference along the height.
    #[test]
    fn nv12_and_nv21_differ_by_one_at_most_from_opencv_over_all_values() {
        let (width, height) = (256, 512);
        for blue in (0..=255).step_by(5) {
            let mut planes: Vec<u8> = (0..height).flat_map(|_| 0..=255).collect();
            planes.extend((0..=255).flat_map(|red| [blue, red].repeat(width / 2)));
            let nv12 = decode_image(layout("nv12", 256, 512, 256), &planes).unwrap();
            for (column, row, pixel) in nv12.enumerate_pixels() {
                let expected = opencv_rgb([column as u8, blue, (row / 2) as u8]);
                for (found, expected) in pixel.0.iter().zip(expected) {
                    assert!(
                        found.abs_diff(expected) <= 1,
                        "{column} {row} {blue}: {pixel:?}, {expected}"
                    );
                }
            }
            planes[width * height..]
                .chunks_exact_mut(2)
                .for_each(|pair| pair.swap(0, 1));
            assert_eq!(decode_image(layout("nv21", 256, 512, 256), &planes), Ok(nv12));
        }
    }

    #[test]
    fn a_picture_in_two_planes_has_whole_squares_of_pixels_and_skips_bytes_between_rows() {
        let odd = decode_image(layout("nv12", 2, 1, 2), &[0; 4]);
        assert_eq!(odd, Err(InputProblem::ImageSize { width: 2, height: 1 }));
        let short = decode_image(layout("nv21", 2, 2, 2), &[0; 5]).unwrap_err();
        assert!(short.to_string().contains("3 rows"), "{short}");
        let data = [235, 16, 9, 16, 235, 9, 128, 128, 9];
        let image = decode_image(layout("nv12", 2, 2, 3), &data).unwrap();
        let (white, black) = ([255; 3], [0; 3]);
        assert_eq!(image.into_raw(), [white, black, black, white].concat());
    }

    #[test]
    fn an_image_without_pixels_is_refused() {
        for (width, height) in [(0, 5), (5, 0), (0, 0)] {
            let problem = decode_image(layout("rgb8", width, height, 15), &[0; 75]).unwrap_err();
            assert_eq!(problem, InputProblem::ImageSize { width, height });
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
        let huge = decode_image(layout("nv12", 2, u32::MAX - 1, u32::MAX), &[0; 4]);
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
