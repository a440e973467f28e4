//! A camera's smallest frame.

use r2r::builtin_interfaces::msg::Time;
use r2r::sensor_msgs::msg::Image;

/// Four by three black pixels.
pub fn black_image(stamp: Time) -> Image {
    let mut image = Image {
        width: 4,
        height: 3,
        step: 12,
        encoding: "rgb8".to_owned(),
        data: vec![0; 36],
        ..Image::default()
    };
    image.header.stamp = stamp;
    image
}
