//! Camera images to the patches of SigLIP's first layer, by a kernel of our own (kernels/patches).
//!
//! TT-NN has no operation that unfolds an image into tiles. On the host this is a conversion and two changes of layout of
//! every pixel; on the card it is a table and addresses. The numbers are the same, bit for bit: the bfloat16 nearest to what
//! preprocessing made of the frame. A frame that was not resampled travels as the camera's bytes, any other as bfloat16.

use std::sync::atomic::Ordering;

use half::bf16;
use tt_metal_sys as tt;
use tt_metal_sys::{Dtype, Layout};

use super::tensor::TILE;
use super::{TenstorrentDevice, TenstorrentTensor};
use crate::device::{PatchGrid, Result};

/// Addresses of a read from DRAM to a core agree in their remainder by this (Blackhole; Wormhole by half of it).
const READ_ALIGNMENT: usize = 64;
const TILE_BYTES: usize = TILE * TILE * size_of::<u16>();
const TABLE_BYTES: usize = 256 * size_of::<u16>();

const READER: &str = concat!(
    include_str!("../../../kernels/patches/patch_tile.h"),
    include_str!("../../../kernels/patches/reader.cpp")
);
const WRITER: &str = concat!(
    include_str!("../../../kernels/patches/patch_tile.h"),
    include_str!("../../../kernels/patches/writer.cpp")
);

/// Images on their way to the card: `[images · 3 · image_size, image_size]`.
#[derive(Debug, PartialEq)]
enum Pixels {
    /// Each stands for its [`BYTE_VALUES`].
    Bytes(Vec<u8>),
    /// Bits of bfloat16.
    Bf16(Vec<u16>),
}

/// What preprocessing makes of each of a camera's bytes, in its arithmetic.
static BYTE_VALUES: [f32; 256] = {
    let mut values = [0.0; 256];
    let mut byte = 0;
    while byte < values.len() {
        values[byte] = byte as f32 / 255.0 * 2.0 - 1.0;
        byte += 1;
    }
    values
};

/// [`BYTE_VALUES`] on the card, `[1, 256]`.
pub(super) fn upload_byte_values(card: &tt::Device) -> Result<tt::Tensor> {
    let shape = [1, BYTE_VALUES.len()];
    Ok(card.upload(&BYTE_VALUES, &shape, Dtype::Bf16, Layout::RowMajor)?)
}

fn whole_bytes(images: &[&[f32]]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(images.iter().map(|image| image.len()).sum());
    for image in images {
        for &value in *image {
            // Out of range it becomes the nearest byte, whose value is another.
            let byte = ((value + 1.0) * 127.5 + 0.5) as u8;
            if BYTE_VALUES[usize::from(byte)] != value {
                return None;
            }
            bytes.push(byte);
        }
    }
    Some(bytes)
}

impl Pixels {
    /// Bytes when each value is exactly that of one.
    fn of(images: &[&[f32]]) -> Self {
        whole_bytes(images).map_or_else(|| Self::bf16(images), Self::Bytes)
    }

    fn bf16(images: &[&[f32]]) -> Self {
        let bits = |value: &f32| bf16::from_f32(*value).to_bits();
        Self::Bf16(images.iter().flat_map(|image| image.iter().map(bits)).collect())
    }

    fn bytes_a_pixel(&self) -> usize {
        match self {
            Self::Bytes(_) => 1,
            Self::Bf16(_) => 2,
        }
    }

    fn upload(&self, card: &tt::Device, shape: &[usize]) -> Result<tt::Tensor> {
        Ok(match self {
            Self::Bytes(bytes) => card.upload_bytes(bytes, shape)?,
            Self::Bf16(bits) => card.upload_u16(bits, shape)?,
        })
    }
}

impl TenstorrentDevice {
    pub(super) fn unfold_on_card(&self, images: &[&[f32]], grid: PatchGrid) -> Result<TenstorrentTensor> {
        grid.check(images)?;
        let pixels = match self.resampled_frames.load(Ordering::Relaxed) {
            true => Pixels::bf16(images),
            false => Pixels::of(images),
        };
        if matches!(pixels, Pixels::Bf16(_)) {
            self.resampled_frames.store(true, Ordering::Relaxed);
        }
        let program = program(self.card.core_grid()?, images.len(), grid, pixels.bytes_a_pixel());
        let pixels = pixels.upload(&self.card, &[images.len() * 3 * grid.image_size, grid.image_size])?;
        let rows = images.len() * grid.num_patches().next_multiple_of(TILE);
        let width = grid.patch_dim();
        let patches = self.card.empty(&[1, 1, rows, width], Dtype::Bf16, Layout::Tile)?;
        self.card
            .run_program("patches", &program, &[&pixels, &self.byte_values, &patches])?;
        Ok(self.matrix(patches, rows, width))
    }
}

/// The program for tensors pixels, byte values and patches. Tiles are divided among all cores, those that do not divide
/// among the first.
fn program((columns, rows): (u32, u32), images: usize, grid: PatchGrid, bytes_a_pixel: usize) -> tt::Program {
    let PatchGrid {
        image_size,
        patch_size,
    } = grid;
    let tiles = images * grid.num_patches().div_ceil(TILE) * grid.patch_dim().div_ceil(TILE);
    let cores = (columns * rows) as usize;
    let first_tile = |core: usize| core * (tiles / cores) + core.min(tiles % cores);
    let core_args: Vec<Vec<u32>> = (0..cores)
        .map(|core| {
            let (first, next) = (first_tile(core), first_tile(core + 1));
            vec![first as u32, (next - first) as u32]
        })
        .collect();

    // A tile's patches lie in at most so many rows of patches, and its values in at most so many rows of a patch.
    let touched = |length: usize| (TILE - 1).div_ceil(length) + 1;
    let row_stride = (image_size * bytes_a_pixel).next_multiple_of(READ_ALIGNMENT);
    let page_bytes = touched(image_size / patch_size) * touched(patch_size) * row_stride;

    let compile_time_args = [image_size, patch_size, bytes_a_pixel, row_stride].map(|arg| arg as u32);
    let kernel = |source, tensors: &[usize]| tt::Kernel {
        source,
        compile_time_args: compile_time_args.to_vec(),
        tensors: tensors.to_vec(),
        core_args: core_args.clone(),
    };
    let buffer = |index, pages, page_bytes: usize, dtype| tt::CircularBuffer {
        index,
        pages,
        page_bytes: page_bytes as u32,
        dtype,
    };
    tt::Program {
        columns,
        rows,
        reader: kernel(READER, &[0]),
        writer: kernel(WRITER, &[2, 1]),
        circular_buffers: vec![
            buffer(0, 2, page_bytes, Dtype::U8),
            buffer(1, 1, TABLE_BYTES, Dtype::Bf16),
            buffer(2, 1, TILE_BYTES, Dtype::Bf16),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::tenstorrent::emulation::{
        BLACKHOLE_DRAM_ALIGNMENT, Pages, WORMHOLE_DRAM_ALIGNMENT, run,
    };
    use crate::device::{CpuDevice, Device, Precision};
    use crate::policy::prepare_image;

    const PI0: PatchGrid = PatchGrid {
        image_size: 224,
        patch_size: 14,
    };

    /// Images whose every pixel is that of a byte, or not.
    fn images(count: usize, grid: PatchGrid, bytes: bool) -> Vec<Vec<f32>> {
        let value = |index: usize| match bytes {
            true => BYTE_VALUES[(index * 131 + index / 97) % 256],
            false => (index as f32 * 0.37).sin(),
        };
        let values = 3 * grid.image_size.pow(2);
        (0..count)
            .map(|image| (0..values).map(|index| value(image * values + index)).collect())
            .collect()
    }

    fn bytes_of(words: impl IntoIterator<Item = u16>) -> Vec<u8> {
        words.into_iter().flat_map(u16::to_ne_bytes).collect()
    }

    /// What the program makes of images, or what it was refused for.
    fn unfold(
        images: &[&[f32]],
        grid: PatchGrid,
        cores: (u32, u32),
        dram_alignment: usize,
        change: impl FnOnce(&mut tt::Program),
    ) -> std::result::Result<Vec<f32>, String> {
        let pixels = Pixels::of(images);
        let tokens = images.len() * grid.num_patches().next_multiple_of(TILE);
        let padded_width = grid.patch_dim().next_multiple_of(TILE);
        let mut program = program(cores, images.len(), grid, pixels.bytes_a_pixel());
        change(&mut program);
        let tensors = [
            Pages {
                page_bytes: grid.image_size * pixels.bytes_a_pixel(),
                bytes: match pixels {
                    Pixels::Bytes(bytes) => bytes,
                    Pixels::Bf16(bits) => bytes_of(bits),
                },
            },
            Pages {
                page_bytes: TABLE_BYTES,
                bytes: bytes_of(BYTE_VALUES.map(|value| bf16::from_f32(value).to_bits())),
            },
            Pages {
                page_bytes: TILE_BYTES,
                bytes: vec![0; tokens * padded_width * size_of::<u16>()],
            },
        ];
        let written = run(&program, &tensors, dram_alignment)?;
        let (bits, _) = written.as_chunks();
        let values: Vec<f32> = bits
            .iter()
            .map(|bits| bf16::from_bits(u16::from_ne_bytes(*bits)).to_f32())
            .collect();
        Ok((0..tokens * padded_width)
            .map(|index| values[in_tiles(index / padded_width, index % padded_width, padded_width)])
            .collect())
    }

    /// Where a value of a matrix in tiles lies: tile by tile along the rows, each in four faces.
    fn in_tiles(row: usize, column: usize, width: usize) -> usize {
        const FACE: usize = TILE / 2;
        let tile = row / TILE * (width / TILE) + column / TILE;
        let (row, column) = (row % TILE, column % TILE);
        let face = row / FACE * 2 + column / FACE;
        (tile * 4 + face) * FACE * FACE + row % FACE * FACE + column % FACE
    }

    /// The CPU device's patches, rounded to bfloat16, with zeros up to the next tile.
    fn expected(images: &[&[f32]], grid: PatchGrid) -> Vec<f32> {
        let cpu = CpuDevice::new(Precision::F32, 1).unwrap();
        let patches = cpu.upload_patches(images, grid).unwrap();
        let patches = cpu.read_back(&patches).unwrap();
        let width = grid.patch_dim();
        let mut padded = Vec::new();
        for image in patches.chunks(grid.num_patches() * width) {
            for patch in image.chunks(width) {
                padded.extend(patch.iter().map(|value| bf16::from_f32(*value).to_f32()));
                padded.resize(padded.len().next_multiple_of(width.next_multiple_of(TILE)), 0.0);
            }
            let tile = TILE * width.next_multiple_of(TILE);
            padded.resize(padded.len().next_multiple_of(tile), 0.0);
        }
        padded
    }

    fn check(count: usize, grid: PatchGrid, bytes: bool, cores: (u32, u32), dram_alignment: usize) {
        let images = images(count, grid, bytes);
        let images: Vec<&[f32]> = images.iter().map(Vec::as_slice).collect();
        let patches = unfold(&images, grid, cores, dram_alignment, |_| {}).unwrap();
        assert!(
            patches == expected(&images, grid),
            "{count} images, {grid:?}, bytes: {bytes}"
        );
    }

    #[test]
    fn the_kernel_s_patches_of_bytes_are_the_cpu_device_s_in_bfloat16() {
        check(3, PI0, true, (8, 8), WORMHOLE_DRAM_ALIGNMENT);
    }

    #[test]
    fn the_kernel_s_patches_of_bfloat16_are_the_cpu_device_s() {
        check(2, PI0, false, (11, 10), BLACKHOLE_DRAM_ALIGNMENT);
    }

    #[test]
    fn images_and_patches_of_any_size_are_unfolded() {
        for (image_size, patch_size) in [(120, 20), (33, 8), (40, 1), (64, 40), (90, 3)] {
            let grid = PatchGrid {
                image_size,
                patch_size,
            };
            check(2, grid, true, (3, 2), BLACKHOLE_DRAM_ALIGNMENT);
            check(1, grid, false, (8, 8), WORMHOLE_DRAM_ALIGNMENT);
        }
    }

    #[test]
    fn the_emulation_refuses_what_a_card_would_do_wrong() {
        let images = images(1, PI0, true);
        let changed = |what: &'static str, by: &'static str, problem: &str| {
            let refused = unfold(&[&images[0]], PI0, (8, 8), WORMHOLE_DRAM_ALIGNMENT, |program| {
                let mut replaced = false;
                for kernel in [&mut program.reader, &mut program.writer] {
                    if kernel.source.contains(what) && !replaced {
                        kernel.source = kernel.source.replacen(what, by, 1).leak();
                        replaced = true;
                    }
                }
                assert!(replaced, "{what}");
            });
            let refused = refused.err();
            assert!(
                refused.as_ref().is_some_and(|refused| refused.contains(problem)),
                "{what} as {by}: {refused:?}"
            );
        };
        changed(
            "noc.async_read_barrier();",
            "",
            "pushes pages that are being read",
        );
        changed("cb_rows.reserve_back(1);", "", "reads outside of reserved pages");
        changed("cb_rows.push_back(1);", "", "waits for ever");
        changed("cb_rows.wait_front(1);", "", "loads outside of waited-for pages");
        changed("invalidate_l1_cache();", "", "loads past a stale cache");
        changed(
            "noc.async_writes_flushed();",
            "",
            "pops pages that are being sent",
        );
        changed("noc.async_write_barrier();", "", "before its writes have landed");
        changed("cb_rows.pop_front(1);", "", "waits for ever");
        changed(
            "cb_tile.wait_front(1);",
            "",
            "sends what is outside of waited-for pages",
        );
        changed(
            "offset += row_stride;",
            "offset += 230;",
            "do not agree in their alignment",
        );
        changed("offset += row_stride;", "", "two transfers of one place");
        changed(
            "image_size * pixel_bytes, {.page_id",
            "32, {.page_id",
            "loads what nothing wrote",
        );
        changed(
            "column < tile_side; ++column",
            "column < 31; ++column",
            "sends what nothing wrote",
        );
        changed(
            "{.page_id = index}",
            "{.page_id = index + 1}",
            "page beyond the tensor",
        );
    }

    #[test]
    fn a_tile_s_faces_in_another_order_are_found() {
        let images = images(1, PI0, true);
        let transposed = unfold(&[&images[0]], PI0, (8, 8), WORMHOLE_DRAM_ALIGNMENT, |program| {
            let source = program.writer.source;
            let other = source.replace("row / 16 * 2 + column / 16", "column / 16 * 2 + row / 16");
            assert_ne!(source, other);
            program.writer.source = other.leak();
        });
        assert!(transposed.unwrap() != expected(&[&images[0]], PI0));
    }

    #[test]
    fn a_frame_of_the_model_s_size_travels_as_bytes_and_a_resampled_one_does_not() {
        let frame = |side: u32| {
            image::RgbImage::from_fn(side, side, |x, y| image::Rgb([x, y, x * y].map(|v| v as u8)))
        };
        let prepared = |side| prepare_image(&frame(side), None, 30).unwrap();
        assert!(matches!(Pixels::of(&[&prepared(30)]), Pixels::Bytes(_)));
        assert!(matches!(Pixels::of(&[&prepared(41)]), Pixels::Bf16(_)));
        assert!(matches!(
            Pixels::of(&[&prepared(30), &prepared(41)]),
            Pixels::Bf16(_)
        ));
    }

    #[test]
    fn only_values_that_are_whole_bytes_travel_as_bytes() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        assert_eq!(Pixels::of(&[&BYTE_VALUES]), Pixels::Bytes(all));
        for other in [BYTE_VALUES[7].next_up(), 0.0, -1.5, 2.0, f32::NAN] {
            let bits = bf16::from_f32(other).to_bits();
            assert_eq!(
                Pixels::of(&[&[1.0, other]]),
                Pixels::Bf16(vec![bf16::ONE.to_bits(), bits])
            );
        }
    }
}
