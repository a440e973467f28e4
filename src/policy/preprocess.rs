//! A camera's frame becomes the image that SigLIP sees.

#[cfg(any(feature = "server", test))]
use std::borrow::Cow;

use fast_image_resize as fir;
use fir::images::{TypedImage, TypedImageRef};
use fir::pixels::{F32x3, U8x3};
use image::RgbImage;

use super::options::Crop;
use crate::checkpoint::{ImageBars, ImageFit, ImagePosition, Resize};
use crate::device::Pixels;

/// Why a frame cannot be prepared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// A frame without pixels.
    #[error("the image is {width} × {height} pixels, expected at least 1 × 1")]
    Empty {
        /// Width of the frame, in pixels.
        width: u32,
        /// Height of the frame, in pixels.
        height: u32,
    },
    /// A crop that is not within the frame.
    #[error(
        "the crop of {} × {} pixels at ({}, {}) is empty or reaches out of the image of {width} × {height}",
        crop.width, crop.height, crop.x, crop.y
    )]
    Crop {
        /// The crop.
        crop: Crop,
        /// Width of the frame, in pixels.
        width: u32,
        /// Height of the frame, in pixels.
        height: u32,
    },
    /// A frame that is too narrow to leave a pixel.
    #[error("nothing is left of {width} × {height} pixels in a square of {side}, the image is too narrow")]
    AspectRatio {
        /// Width of the cropped frame, in pixels.
        width: u32,
        /// Height of the cropped frame, in pixels.
        height: u32,
        /// Side of the square, in pixels.
        side: usize,
    },
    /// A failure of the resizing library.
    #[error("the image could not be resized: {0}")]
    Resize(String),
}

/// Crops a frame and fits it into a square of `side` pixels with its aspect kept, as `image_fit` has it: bytes
/// where each value of the square is one, else values.
///
/// The reference for plain resizing is LeRobot's `resize_with_pad_torch`: bilinear between pixel centres without
/// antialiasing, sizes rounded down, the odd pixel of padding to the right and below. That for antialiasing is
/// openpi's `resize_with_pad`, which is Pillow's `BILINEAR` on bytes.
///
/// # Errors
/// When no pixel is left.
#[tracing::instrument(name = "resize", level = "trace", skip_all)]
pub fn prepare_image(
    frame: &RgbImage,
    crop: Option<Crop>,
    side: usize,
    image_fit: ImageFit,
) -> Result<Pixels, ImageError> {
    let crop = crop_of(frame, crop)?;
    let (width, height) = fit_size(crop, side)?;
    let square = (side, image_fit.position);
    let bars = image_fit.bars.value();
    let bytes: Vec<[u8; 3]> = match image_fit.resize {
        _ if (crop.width, crop.height) == (width, height) => cropped(frame, crop, |rgb| rgb),
        Resize::Antialiased => resize_antialiased(frame, crop, width, height).map_err(resize_failed)?,
        Resize::Plain => {
            let resized = resize(frame, crop, width, height).map_err(resize_failed)?;
            let value = |pixel: &F32x3, channel: usize| pixel.0[channel].clamp(0.0, 1.0) * 2.0 - 1.0;
            return Ok(Pixels::Values(planes(&resized, width, square, bars, value)));
        }
    };
    let has_bars = bytes.len() < side * side;
    if has_bars && image_fit.bars != ImageBars::Black {
        let value = |pixel: &[u8; 3], channel: usize| f32::from(pixel[channel]) / 255.0 * 2.0 - 1.0;
        return Ok(Pixels::Values(planes(&bytes, width, square, bars, value)));
    }
    Ok(Pixels::Bytes(planes(
        &bytes,
        width,
        square,
        0,
        |pixel, channel| pixel[channel],
    )))
}

/// Crops a frame, and makes it smaller if it does not fit into a square of `side` pixels: what a policy needs of it that
/// [`prepare_image`] is for, in bytes and without bars.
///
/// A frame that fits is the crop, to the last bit. With [`Resize::Antialiased`] the policy sees the same image as of the whole
/// frame; with [`Resize::Plain`] values are rounded to bytes.
///
/// # Errors
/// When no pixel is left.
// Only frames that travel are made smaller.
#[cfg(any(feature = "server", test))]
pub(super) fn shrink_image(
    frame: &RgbImage,
    crop: Option<Crop>,
    side: usize,
    resize_filter: Resize,
) -> Result<Cow<'_, RgbImage>, ImageError> {
    let crop = crop_of(frame, crop)?;
    let (fit_width, fit_height) = fit_size(crop, side)?;
    let (width, height) = (crop.width.min(fit_width), crop.height.min(fit_height));
    if (width, height) == frame.dimensions() {
        return Ok(Cow::Borrowed(frame));
    }
    let bytes: Vec<[u8; 3]> = if (width, height) == (crop.width, crop.height) {
        cropped(frame, crop, |rgb| rgb)
    } else {
        match resize_filter {
            Resize::Antialiased => resize_antialiased(frame, crop, width, height).map_err(resize_failed)?,
            Resize::Plain => {
                let resized = resize(frame, crop, width, height).map_err(resize_failed)?;
                let byte = |value: f32| (255.0 * value.clamp(0.0, 1.0)).round() as u8;
                resized.iter().map(|pixel| pixel.0.map(byte)).collect()
            }
        }
    };
    let image = RgbImage::from_raw(width, height, bytes.into_flattened()).expect("three bytes a pixel");
    Ok(Cow::Owned(image))
}

fn resize_failed(error: Box<dyn std::error::Error>) -> ImageError {
    ImageError::Resize(error.to_string())
}

/// The crop, or all of the frame; it lies within the frame and has pixels.
fn crop_of(frame: &RgbImage, crop: Option<Crop>) -> Result<Crop, ImageError> {
    let (frame_width, frame_height) = frame.dimensions();
    if frame_width == 0 || frame_height == 0 {
        return Err(ImageError::Empty {
            width: frame_width,
            height: frame_height,
        });
    }
    let crop = crop.unwrap_or(Crop {
        x: 0,
        y: 0,
        width: frame_width,
        height: frame_height,
    });
    let inside = |start: u32, length: u32, limit: u32| {
        length > 0 && start.checked_add(length).is_some_and(|end| end <= limit)
    };
    if !inside(crop.x, crop.width, frame_width) || !inside(crop.y, crop.height, frame_height) {
        return Err(ImageError::Crop {
            crop,
            width: frame_width,
            height: frame_height,
        });
    }
    Ok(crop)
}

/// Size of a crop in a square that it fits into.
fn fit_size(crop: Crop, side: usize) -> Result<(u32, u32), ImageError> {
    let (width, height) = fit(crop.width, crop.height, side);
    if width == 0 || height == 0 {
        return Err(ImageError::AspectRatio {
            width: crop.width,
            height: crop.height,
            side,
        });
    }
    Ok((width, height))
}

/// Puts pixels, `width` a row, into a square of three planes that are otherwise `bar`.
fn planes<P, T: Copy>(
    pixels: &[P],
    width: u32,
    (side, position): (usize, ImagePosition),
    bar: T,
    value: impl Fn(&P, usize) -> T,
) -> Vec<T> {
    let width = width as usize;
    let (right, below) = (side - width, side - pixels.len() / width);
    let (left, top) = match position {
        ImagePosition::Centre => (right / 2, below / 2),
        ImagePosition::BottomRight => (right, below),
    };
    let mut image = vec![bar; 3 * side * side];
    for (channel, plane) in image.chunks_exact_mut(side * side).enumerate() {
        for (row, pixels) in plane[top * side..]
            .chunks_exact_mut(side)
            .zip(pixels.chunks_exact(width))
        {
            for (image, pixel) in row[left..].iter_mut().zip(pixels) {
                *image = value(pixel, channel);
            }
        }
    }
    image
}

/// Size of an image in a square that it fits into. Rounded down after a division by a ratio that is itself
/// rounded, so that it is one below the exact size where the reference's is.
fn fit(width: u32, height: u32, side: usize) -> (u32, u32) {
    let side = side as f64;
    let (width, height) = (f64::from(width), f64::from(height));
    let ratio = (width / side).max(height / side);
    ((width / ratio) as u32, (height / ratio) as u32)
}

/// What becomes of the pixels of a crop, row by row.
fn cropped<P>(frame: &RgbImage, crop: Crop, pixel: impl Fn([u8; 3]) -> P) -> Vec<P> {
    let stride = 3 * frame.width() as usize;
    let columns = 3 * crop.x as usize..3 * (crop.x + crop.width) as usize;
    let rows = frame.chunks_exact(stride).skip(crop.y as usize);
    let mut pixels = Vec::with_capacity(crop.width as usize * crop.height as usize);
    // Pixels of one slice become vector instructions, and those of an iterator over rows do not.
    for row in rows.take(crop.height as usize) {
        let row = row[columns.clone()].as_chunks::<3>().0;
        pixels.extend(row.iter().map(|&rgb| pixel(rgb)));
    }
    pixels
}

/// Resamples a crop, in [0, 1].
fn resize(
    frame: &RgbImage,
    crop: Crop,
    width: u32,
    height: u32,
) -> Result<Vec<F32x3>, Box<dyn std::error::Error>> {
    let value = |byte: u8| f32::from(byte) / 255.0;
    let pixels = cropped(frame, crop, |rgb| F32x3::new(rgb.map(value)));
    let frame = TypedImageRef::new(crop.width, crop.height, &pixels)?;
    let mut resized = TypedImage::new(width, height);
    let bilinear = fir::ResizeOptions::new()
        .resize_alg(fir::ResizeAlg::Interpolation(fir::FilterType::Bilinear))
        .use_alpha(false);
    fir::Resizer::new().resize_typed(&frame, &mut resized, &bilinear)?;
    Ok(resized.pixels().to_vec())
}

/// Resamples a crop in bytes, with a triangle over all pixels that one of the result covers.
fn resize_antialiased(
    frame: &RgbImage,
    crop: Crop,
    width: u32,
    height: u32,
) -> Result<Vec<[u8; 3]>, Box<dyn std::error::Error>> {
    let pixels = cropped(frame, crop, U8x3::new);
    let frame = TypedImageRef::new(crop.width, crop.height, &pixels)?;
    let mut resized = TypedImage::new(width, height);
    let triangle = fir::ResizeOptions::new()
        .resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::Bilinear))
        .use_alpha(false);
    fir::Resizer::new().resize_typed(&frame, &mut resized, &triangle)?;
    Ok(resized.pixels().iter().map(|pixel| pixel.0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Option<Crop> = None;
    const CENTRE: ImageFit = ImageFit {
        position: ImagePosition::Centre,
        bars: ImageBars::Black,
        resize: Resize::Plain,
    };

    /// An image whose every pixel is another colour.
    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let value = |factor: u32| ((x * 31 + y * 57) * factor % 256) as u8;
            image::Rgb([value(1), value(7), value(13)])
        })
    }

    #[test]
    fn an_image_without_pixels_is_refused() {
        assert_eq!(
            prepare_image(&RgbImage::new(0, 4), WHOLE, 8, CENTRE),
            Err(ImageError::Empty { width: 0, height: 4 })
        );
    }

    #[test]
    fn an_image_too_narrow_for_the_square_is_refused() {
        assert_eq!(
            prepare_image(&RgbImage::new(100, 1), WHOLE, 8, CENTRE),
            Err(ImageError::AspectRatio {
                width: 100,
                height: 1,
                side: 8
            })
        );
    }

    #[test]
    fn a_crop_out_of_the_image_is_refused() {
        let frame = picture(10, 8);
        for (x, y, width, height) in [
            (0, 0, 11, 8),
            (3, 0, 8, 8),
            (0, 8, 1, 1),
            (0, 0, 0, 4),
            (u32::MAX, 0, 2, 2),
        ] {
            let crop = Crop { x, y, width, height };
            let refused = prepare_image(&frame, Some(crop), 8, CENTRE);
            assert!(
                matches!(refused, Err(ImageError::Crop { .. })),
                "{crop:?}: {refused:?}"
            );
        }
    }

    #[test]
    fn a_crop_is_the_same_as_a_smaller_frame() {
        let frame = picture(20, 12);
        let crop = Crop {
            x: 5,
            y: 2,
            width: 9,
            height: 7,
        };
        let smaller = image::imageops::crop_imm(&frame, crop.x, crop.y, crop.width, crop.height).to_image();
        assert_eq!(
            prepare_image(&frame, Some(crop), 16, CENTRE),
            prepare_image(&smaller, WHOLE, 16, CENTRE)
        );
    }

    #[test]
    fn a_frame_that_is_made_smaller_before_it_travels_is_the_same_image() {
        let antialiased = ImageFit {
            resize: Resize::Antialiased,
            ..CENTRE
        };
        let crop = Some(Crop {
            x: 3,
            y: 1,
            width: 50,
            height: 31,
        });
        for (crop, fit) in [
            (WHOLE, antialiased),
            (crop, antialiased),
            (WHOLE, CENTRE),
            (crop, CENTRE),
        ] {
            let frame = picture(64, 48);
            let small = shrink_image(&frame, crop, 24, fit.resize).unwrap();
            assert_eq!(small.width(), 24);
            let whole = prepare_image(&frame, crop, 24, fit).unwrap();
            let travelled = prepare_image(&small, WHOLE, 24, fit).unwrap();
            let most = match fit.resize {
                Resize::Antialiased => 0.0,
                Resize::Plain => 1.001 / 255.0,
            };
            for (a, b) in whole.values().iter().zip(travelled.values().iter()) {
                assert!((a - b).abs() <= most, "{fit:?}: {a} and {b}");
            }
        }
    }

    #[test]
    fn a_frame_that_fits_travels_as_it_is() {
        let frame = picture(20, 12);
        for resize in [Resize::Plain, Resize::Antialiased] {
            let image = shrink_image(&frame, WHOLE, 24, resize).unwrap();
            assert!(matches!(image, Cow::Borrowed(_)), "a copy of it costs time");
            assert_eq!(*image, frame);
        }
        assert!(shrink_image(&RgbImage::new(100, 1), WHOLE, 8, Resize::Plain).is_err());
    }

    #[test]
    fn a_frame_of_the_model_s_size_stays_bytes_and_a_resampled_one_does_not() {
        let frame = picture(6, 5);
        let Pixels::Bytes(bytes) = prepare_image(&frame, WHOLE, 6, CENTRE).unwrap() else {
            panic!("not resampled");
        };
        for (x, y, pixel) in frame.enumerate_pixels() {
            for (channel, value) in pixel.0.into_iter().enumerate() {
                assert_eq!(bytes[channel * 36 + (y * 6 + x) as usize], value);
            }
        }
        assert_eq!(bytes[5 * 6..6 * 6], [0; 6], "black below");
        let resampled = prepare_image(&picture(7, 7), WHOLE, 6, CENTRE).unwrap();
        assert!(matches!(resampled, Pixels::Values(_)));
    }

    #[test]
    fn bars_below_black_change_nothing_but_the_bars() {
        let below = ImageBars::BelowBlack;
        for resize in [Resize::Plain, Resize::Antialiased] {
            for (width, height) in [(24, 10), (10, 24), (61, 33), (7, 5), (48, 48), (24, 24)] {
                let frame = picture(width, height);
                let black = ImageFit { resize, ..CENTRE };
                let image = prepare_image(&frame, WHOLE, 24, black).unwrap();
                let other = prepare_image(&frame, WHOLE, 24, ImageFit { bars: below, ..black }).unwrap();
                let (fit_width, fit_height) = fit(width, height, 24);
                let (left, top) = ((24 - fit_width) / 2, (24 - fit_height) / 2);
                let other = other.values();
                for (index, (&black, &other)) in image.values().iter().zip(other.iter()).enumerate() {
                    let (x, y) = ((index % 24) as u32, (index / 24 % 24) as u32);
                    let is_inside =
                        (left..left + fit_width).contains(&x) && (top..top + fit_height).contains(&y);
                    let expected = if is_inside { black } else { -3.0 };
                    assert!(
                        (other - expected).abs() < 1e-6,
                        "{width} × {height} at ({x}, {y})"
                    );
                }
            }
        }
    }

    /// Bilinear interpolation between the centres of pixels, written as its definition.
    fn sample(frame: &RgbImage, channel: usize, x: f64, y: f64) -> f64 {
        let value = |x: f64, y: f64| {
            let x = (x.max(0.0) as u32).min(frame.width() - 1);
            let y = (y.max(0.0) as u32).min(frame.height() - 1);
            f64::from(frame.get_pixel(x, y).0[channel]) / 255.0
        };
        let (x, y) = (x.max(0.0), y.max(0.0));
        let (left, above) = (x.floor(), y.floor());
        let (right_part, below_part) = (x - left, y - above);
        let row = |y: f64| value(left, y) * (1.0 - right_part) + value(left + 1.0, y) * right_part;
        row(above) * (1.0 - below_part) + row(above + 1.0) * below_part
    }

    #[test]
    fn every_size_is_interpolated_without_antialiasing_and_put_at_its_position() {
        for position in [ImagePosition::Centre, ImagePosition::BottomRight] {
            every_size_at(position);
        }
    }

    fn every_size_at(position: ImagePosition) {
        let side = 24;
        let sizes = [1, 2, 3, 5, 7, 11, 23, 24, 25, 48, 61, 97, 150];
        for (width, height) in sizes.iter().flat_map(|w| sizes.iter().map(move |h| (*w, *h))) {
            let frame = picture(width, height);
            let (fit_width, fit_height) = fit(width, height, side);
            if fit_width == 0 || fit_height == 0 {
                continue;
            }
            let fit = ImageFit { position, ..CENTRE };
            let image = prepare_image(&frame, WHOLE, side, fit).unwrap();
            let (mut left, mut top) = (side as u32 - fit_width, side as u32 - fit_height);
            if position == ImagePosition::Centre {
                (left, top) = (left / 2, top / 2);
            }
            for (index, &value) in image.values().iter().enumerate() {
                let (channel, pixel) = (index / (side * side), (index % (side * side)) as u32);
                let (x, y) = (pixel % side as u32, pixel / side as u32);
                let inside = (left..left + fit_width).contains(&x) && (top..top + fit_height).contains(&y);
                let expected = if inside {
                    let x = (f64::from(x - left) + 0.5) * f64::from(width) / f64::from(fit_width) - 0.5;
                    let y = (f64::from(y - top) + 0.5) * f64::from(height) / f64::from(fit_height) - 0.5;
                    2.0 * sample(&frame, channel, x, y) - 1.0
                } else {
                    -1.0
                };
                let error = (f64::from(value) - expected).abs();
                assert!(
                    error < 1e-5,
                    "{width} × {height}, channel {channel} at ({x}, {y}): off by {error}"
                );
            }
        }
    }
}
