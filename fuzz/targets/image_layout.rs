//! Raw images: an encoding, sizes and a step that need not fit the bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pi0_node::observation::{ChannelOrder, ImageLayout, decode_image};

const ENCODINGS: [&str; 24] = [
    "rgb8",
    "bgr8",
    "rgba8",
    "bgra8",
    "mono8",
    "8UC1",
    "rgb16",
    "bgr16",
    "rgba16",
    "bgra16",
    "mono16",
    "uyvy",
    "yuv422",
    "yuyv",
    "yuv422_yuy2",
    "nv12",
    "nv21",
    "8UC3",
    "8UC4",
    "16UC3",
    "16UC4",
    "bayer_rggb8",
    "32FC1",
    "",
];
const ORDERS: [ChannelOrder; 3] = [ChannelOrder::Unknown, ChannelOrder::Rgb, ChannelOrder::Bgr];

fuzz_target!(|input: &[u8]| {
    // Sizes of one byte, so that many fit, or of four.
    let (small, large);
    let ([encoding, flags], [width, height, step], data) = match input {
        [encoding, flags, sizes @ ..] if flags & 1 == 0 => {
            let Some((sizes, data)) = sizes.split_first_chunk::<3>() else {
                return;
            };
            small = sizes.map(u32::from);
            ([encoding, flags], small, data)
        }
        [encoding, flags, sizes @ ..] => {
            let Some((sizes, data)) = sizes.split_first_chunk::<12>() else {
                return;
            };
            let size =
                |at: usize| u32::from_le_bytes([sizes[at], sizes[at + 1], sizes[at + 2], sizes[at + 3]]);
            large = [size(0), size(4), size(8)];
            ([encoding, flags], large, data)
        }
        _ => return,
    };
    let layout = ImageLayout {
        width,
        height,
        step,
        encoding: ENCODINGS[usize::from(*encoding) % ENCODINGS.len()],
        is_big_endian: flags & 2 != 0,
        channel_order: ORDERS[usize::from(flags >> 2) % ORDERS.len()],
    };
    pi0_fuzz::bounded(input, || {
        if let Ok(image) = decode_image(layout, data) {
            assert_eq!(image.dimensions(), (width, height));
        }
    });
});
