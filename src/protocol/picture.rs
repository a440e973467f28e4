//! Camera pictures in messages: arrays of bytes or of numbers from 0 to 1, or compressed pictures.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, RgbImage};

use super::array::{Array, Dtype};
use super::value::Value;
use crate::compressed_picture::{self, MAX_SIDE};

const JPEG_QUALITY: u8 = 90;

/// How a picture is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PictureFormat {
    /// An array `[height, width, 3]` of bytes, which every server of the protocol takes.
    #[default]
    Raw,
    /// JPEG, which only `pi0_server` takes. The policy sees its artefacts.
    Jpeg,
    /// PNG, which only `pi0_server` takes. No pixel changes.
    Png,
}

/// Why a value is no picture.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PictureError {
    /// Another kind of value.
    #[error(
        "found {0}, expected an array [height, width, 3] or [3, height, width] of bytes or of numbers from 0 to 1, or the \
         bytes of a JPEG or PNG"
    )]
    Kind(String),
    /// A side without pixels, or with too many.
    #[error("found {width} × {height} pixels, expected 1 to {MAX_SIDE} a side")]
    Size {
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// A number that is no brightness.
    #[error("found the value {0}, expected numbers from 0 to 1, or bytes")]
    Range(f64),
    /// A compressed picture that cannot be decoded.
    #[error("the compressed picture cannot be decoded: {0}")]
    Compressed(String),
}

/// The picture of a value. `[3, height, width]` where the first length is 3, and numbers times 255 without their fractions, both
/// as in openpi's `_parse_image`.
///
/// # Errors
/// When it is no picture.
pub fn picture_from(value: &Value<'_>) -> Result<RgbImage, PictureError> {
    match value {
        Value::Array(array) => of_array(array),
        Value::Bytes(bytes) => compressed_picture::decode(bytes).map_err(PictureError::Compressed),
        other => Err(PictureError::Kind(other.kind())),
    }
}

fn of_array(array: &Array<'_>) -> Result<RgbImage, PictureError> {
    let refused = || PictureError::Kind(Value::Array(array.clone()).kind());
    let is_planar = array.shape().first() == Some(&3);
    let (height, width) = match *array.shape() {
        [3, height, width] => (height, width),
        [height, width, 3] => (height, width),
        _ => return Err(refused()),
    };
    let side = 1..=MAX_SIDE as usize;
    if !side.contains(&height) || !side.contains(&width) {
        return Err(PictureError::Size { width, height });
    }
    let bytes = match array.dtype() {
        Dtype::U8 => array.bytes().to_vec(),
        dtype if dtype.is_float() => array.to_f64().into_iter().map(byte).collect::<Result<_, _>>()?,
        _ => return Err(refused()),
    };
    let bytes = match is_planar {
        false => bytes,
        true => {
            let pixels = height * width;
            let values = (0..pixels).flat_map(|pixel| (0..3).map(move |channel| channel * pixels + pixel));
            values.map(|index| bytes[index]).collect()
        }
    };
    Ok(RgbImage::from_raw(width as u32, height as u32, bytes).expect("three bytes a pixel"))
}

fn byte(value: f64) -> Result<u8, PictureError> {
    match (0.0..=1.0).contains(&value) {
        // NumPy's conversion drops the fraction.
        true => Ok((255.0 * value) as u8),
        false => Err(PictureError::Range(value)),
    }
}

/// The value of a picture.
///
/// # Errors
/// When the picture has no pixels and is to be compressed.
pub fn picture_to(picture: &RgbImage, format: PictureFormat) -> Result<Value<'_>, PictureError> {
    let failed = |error: image::ImageError| PictureError::Compressed(error.to_string());
    let mut bytes = Vec::new();
    match format {
        PictureFormat::Raw => {
            let shape = vec![picture.height() as usize, picture.width() as usize, 3];
            let array = Array::new(Dtype::U8, shape, picture.as_raw().as_slice());
            return Ok(array.expect("three bytes a pixel").into());
        }
        PictureFormat::Jpeg => {
            let encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
            picture.write_with_encoder(encoder).map_err(failed)?;
        }
        PictureFormat::Png => {
            let mut file = Cursor::new(&mut bytes);
            picture.write_to(&mut file, ImageFormat::Png).map_err(failed)?;
        }
    }
    Ok(Value::Bytes(bytes.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> RgbImage {
        RgbImage::from_fn(5, 4, |x, y| image::Rgb([x as u8 * 40, y as u8 * 50, 7]))
    }

    fn planes<T>(picture: &RgbImage, value: impl Fn(u8) -> T) -> Vec<T> {
        let planes = (0..3).flat_map(|channel| picture.pixels().map(move |pixel| pixel.0[channel]));
        planes.map(value).collect()
    }

    #[test]
    fn bytes_row_by_row_and_plane_by_plane_are_the_same_picture() {
        let picture = picture();
        let rows = picture_to(&picture, PictureFormat::Raw).unwrap();
        assert_eq!(picture_from(&rows), Ok(picture.clone()));
        let planes = planes(&picture, |byte| byte);
        let planes = Array::new(Dtype::U8, vec![3, 4, 5], planes).unwrap();
        assert_eq!(picture_from(&planes.into()), Ok(picture));
    }

    #[test]
    fn numbers_from_0_to_1_are_bytes_as_numpy_converts_them() {
        let values = planes(&picture(), |byte| f32::from(byte) / 255.0 + 0.001);
        let array = Array::of_f32(&values, vec![3, 4, 5]);
        assert_eq!(picture_from(&array.into()), Ok(picture()));
        for wrong in [-0.01, 1.01, 255.0, f32::NAN] {
            let array = Array::of_f32(&[wrong; 3], vec![1, 1, 3]);
            assert!(
                matches!(picture_from(&array.into()), Err(PictureError::Range(_))),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_png_is_the_same_picture_and_a_jpeg_nearly() {
        let grey = RgbImage::from_pixel(16, 8, image::Rgb([100; 3]));
        for (format, most) in [(PictureFormat::Png, 0), (PictureFormat::Jpeg, 2)] {
            let again = picture_from(&picture_to(&grey, format).unwrap()).unwrap();
            assert_eq!(again.dimensions(), (16, 8));
            assert!(
                again.iter().all(|value| value.abs_diff(100) <= most),
                "{format:?}"
            );
        }
    }

    #[test]
    fn what_is_no_picture_is_refused_with_what_is_expected() {
        let array = |shape: Vec<usize>, dtype: Dtype| {
            let bytes = shape.iter().product::<usize>() * dtype.size();
            Value::from(Array::new(dtype, shape, vec![0; bytes]).unwrap())
        };
        for value in [
            array(vec![4, 5], Dtype::U8),
            array(vec![4, 5, 4], Dtype::U8),
            array(vec![1, 4, 5, 3], Dtype::U8),
            array(vec![4, 5, 3], Dtype::from_numpy("<i8").unwrap()),
            Value::Nil,
        ] {
            let refused = picture_from(&value).unwrap_err().to_string();
            assert!(refused.contains("[height, width, 3]"), "{refused}");
        }
        assert!(matches!(
            picture_from(&array(vec![0, 5, 3], Dtype::U8)),
            Err(PictureError::Size { .. })
        ));
        for bytes in [&b"RIFF....WEBP"[..], b"\x89PNG\r\n\x1a\n", b""] {
            let refused = picture_from(&Value::Bytes(bytes.into()));
            assert!(matches!(refused, Err(PictureError::Compressed(_))), "{refused:?}");
        }
    }
}
