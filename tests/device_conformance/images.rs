//! Images in patches.

use pi0_node::device::{Device, PatchGrid, Pixels};

use crate::common::values::values;
use crate::tested::Tested;

pub fn images_are_cut_into_patches<D: Device>(tested: Tested<D>) {
    let grid = PatchGrid {
        image_size: 23,
        patch_size: 5,
    };
    let (size, patch) = (grid.image_size, grid.patch_size);
    let pixels = 3 * size * size;
    let bytes = |image: u32| {
        let bytes = values(pixels, image)
            .into_iter()
            .map(|x| (x * 127.0 + 128.0) as u8);
        Pixels::Bytes(bytes.collect())
    };
    // One after the other in the same tensor.
    let images = [
        ("bytes", bytes(17)),
        ("other bytes", bytes(18)),
        ("values", Pixels::Values(values(pixels, 19))),
        ("bytes again", bytes(20)),
    ];
    let device = &tested.device;
    let tokens = 16_usize.next_multiple_of(device.tile_size());
    for (_, first) in [&images[0], &images[2]] {
        let mut image = device.upload_image(first, size).unwrap();
        for (what, pixels) in &images {
            let mut expected = vec![0.0; tokens * 75];
            for (pixel, &value) in pixels.values().iter().enumerate() {
                let (channel, y, x) = (pixel / (size * size), pixel / size % size, pixel % size);
                if y < 20 && x < 20 {
                    let row = y / patch * 4 + x / patch;
                    let column = (channel * patch + y % patch) * patch + x % patch;
                    expected[row * 75 + column] = f64::from(value);
                }
            }
            device.write_image(&mut image, pixels).unwrap();
            tested.expect(what, device.patches(&image, grid), &[tokens, 75], &expected);
        }
    }
    let mut image = device.upload_image(&images[0].1, size).unwrap();
    for short in [Pixels::Bytes(vec![0; 7]), Pixels::Values(vec![0.0; 7])] {
        tested.refuse("a short image", device.upload_image(&short, size));
        tested.refuse("a short frame", device.write_image(&mut image, &short));
    }
    let matrix = tested.upload(&[0.0; 4], &[2, 2]);
    tested.refuse("no image", device.patches(&matrix, grid));
    for (image_size, patch_size) in [(size, 0), (size, 24), (22, patch)] {
        let other = PatchGrid {
            image_size,
            patch_size,
        };
        tested.refuse("other sizes", device.patches(&image, other));
    }
}
