//! Patches of camera images for SigLIP's first layer, by a kernel of our own (kernels/patches).
//!
//! TT-NN has no operation that unfolds an image into tiles. On the host this is a conversion and two changes
//! of layout of every pixel; on the card it is a table and addresses. The numbers are the same, bit for bit:
//! the bfloat16 nearest to each value. Frames that were not resampled are uploaded as bytes, others as
//! bfloat16.

use std::sync::Arc;

use half::bf16;
use tt_metal_sys as tt;
use tt_metal_sys::{Dtype, Layout};

use super::tensor::{PixelType, TILE, Values};
use super::{TenstorrentDevice, TenstorrentTensor};
use crate::device::patches::image_shape;
use crate::device::{DeviceError, PatchGrid, Pixels, Result, expect_count};

/// Divisor by which the addresses of a read from DRAM to a core have the same remainder (Blackhole; Wormhole
/// by half of it).
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

impl PixelType {
    /// Type in which pixels are stored on the card.
    fn of(pixels: &Pixels) -> Self {
        match pixels {
            Pixels::Bytes(_) => Self::Byte,
            Pixels::Values(_) => Self::Bf16,
        }
    }

    /// Bytes of one value.
    fn bytes(self) -> usize {
        match self {
            Self::Byte => 1,
            Self::Bf16 => 2,
        }
    }
}

/// Bits of the bfloat16 nearest to each value.
fn bf16_bits(values: &[f32]) -> Vec<u16> {
    let bits = |value: &f32| bf16::from_f32(*value).to_bits();
    values.iter().map(bits).collect()
}

impl TenstorrentDevice {
    /// Uploads an image `[3, image_size, image_size]`, on the card `[3 · image_size, image_size]`.
    pub(super) fn new_image(&self, pixels: &Pixels, image_size: usize) -> Result<TenstorrentTensor> {
        let shape = image_shape(image_size);
        expect_count("upload_image", pixels.len(), &shape)?;
        let on_card = [1, 1, 3 * image_size, image_size];
        let (card, layout) = (&self.card, Layout::RowMajor);
        let tensor = match pixels {
            Pixels::Bytes(bytes) => card.upload(bytes, &on_card, Dtype::U8, layout)?,
            Pixels::Values(values) => card.upload(&bf16_bits(values), &on_card, Dtype::U16, layout)?,
        };
        let values = Values::Pixels(PixelType::of(pixels));
        let counted = self.traces.count_tensor();
        let card = Arc::clone(card);
        Ok(TenstorrentTensor::new(
            card, tensor, &shape, on_card, values, counted,
        ))
    }

    /// Replaces the pixels of an image; pixels of the other type need a new tensor, which ends the traces.
    pub(super) fn overwrite_image(&self, image: &mut TenstorrentTensor, pixels: &Pixels) -> Result<()> {
        const OPERATION: &str = "write_image";
        let Values::Pixels(pixel_type) = image.values else {
            return Err(DeviceError::shape(OPERATION, "not uploaded as an image"));
        };
        expect_count(OPERATION, pixels.len(), &image.shape)?;
        if PixelType::of(pixels) != pixel_type {
            *image = self.new_image(pixels, image.on_card[3])?;
            return Ok(());
        }
        self.traces.write(image.address(), |queue| {
            let TenstorrentTensor { tensor, on_card, .. } = &*image;
            let (card, layout) = (&self.card, Layout::RowMajor);
            let written = match pixels {
                Pixels::Bytes(bytes) => card.overwrite(tensor, bytes, on_card, Dtype::U8, layout, queue),
                Pixels::Values(values) => {
                    card.overwrite(tensor, &bf16_bits(values), on_card, Dtype::U16, layout, queue)
                }
            };
            Ok(written?)
        })
    }

    pub(super) fn unfold_on_card(
        &self,
        image: &TenstorrentTensor,
        grid: PatchGrid,
    ) -> Result<TenstorrentTensor> {
        grid.check(&image.shape)?;
        let Values::Pixels(pixel_type) = image.values else {
            return Err(DeviceError::shape("patches", "not uploaded as an image"));
        };
        let program = program(self.grid, grid, pixel_type);
        let rows = grid.num_patches().next_multiple_of(TILE);
        let width = grid.patch_dim();
        let patches = self.card.empty(&[1, 1, rows, width], Dtype::Bf16, Layout::Tile)?;
        let tensors = [&image.tensor, &self.byte_values, &patches];
        self.card.run_program("patches", &program, &tensors)?;
        Ok(self.matrix(patches, rows, width))
    }
}

/// Program for the tensors pixels, byte values and patches. Tiles are divided among all cores; the first
/// cores take one more where they do not divide evenly.
fn program((columns, rows): (u32, u32), grid: PatchGrid, pixel_type: PixelType) -> tt::Program {
    let PatchGrid {
        image_size,
        patch_size,
    } = grid;
    let tiles = grid.num_patches().div_ceil(TILE) * grid.patch_dim().div_ceil(TILE);
    let cores = (columns * rows) as usize;
    let first_tile = |core: usize| core * (tiles / cores) + core.min(tiles % cores);
    let core_args: Vec<Vec<u32>> = (0..cores)
        .map(|core| {
            let (first, next) = (first_tile(core), first_tile(core + 1));
            vec![first as u32, (next - first) as u32]
        })
        .collect();

    // A tile's patches lie in at most so many rows of patches, and its values in at most so many rows of a
    // patch.
    let touched = |length: usize| (TILE - 1).div_ceil(length) + 1;
    let row_stride = (image_size * pixel_type.bytes()).next_multiple_of(READ_ALIGNMENT);
    let page_bytes = touched(image_size / patch_size) * touched(patch_size) * row_stride;

    let compile_time_args = [image_size, patch_size, pixel_type.bytes(), row_stride].map(|arg| arg as u32);
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
    use crate::device::pixels::BYTE_VALUES;
    use crate::device::tenstorrent::emulation::{
        BLACKHOLE_DRAM_ALIGNMENT, Pages, WORMHOLE_DRAM_ALIGNMENT, run,
    };
    use crate::device::{CpuDevice, Device, Precision};

    const PI0: PatchGrid = PatchGrid {
        image_size: 224,
        patch_size: 14,
    };

    /// An image of bytes, or of values.
    fn image(grid: PatchGrid, bytes: bool) -> Pixels {
        let indices = 0..3 * grid.image_size.pow(2);
        match bytes {
            true => Pixels::Bytes(indices.map(|index| (index * 131 + index / 97) as u8).collect()),
            false => Pixels::Values(indices.map(|index| (index as f32 * 0.37).sin()).collect()),
        }
    }

    fn bytes_of(words: impl IntoIterator<Item = u16>) -> Vec<u8> {
        words.into_iter().flat_map(u16::to_ne_bytes).collect()
    }

    /// Patches that the program makes of an image, or why it was refused.
    fn unfold(
        image: &Pixels,
        grid: PatchGrid,
        cores: (u32, u32),
        dram_alignment: usize,
        change: impl FnOnce(&mut tt::Program),
    ) -> std::result::Result<Vec<f32>, String> {
        let pixel_type = PixelType::of(image);
        let tokens = grid.num_patches().next_multiple_of(TILE);
        let padded_width = grid.patch_dim().next_multiple_of(TILE);
        let mut program = program(cores, grid, pixel_type);
        change(&mut program);
        let tensors = [
            Pages {
                page_bytes: grid.image_size * pixel_type.bytes(),
                bytes: match image {
                    Pixels::Bytes(bytes) => bytes.clone(),
                    Pixels::Values(values) => bytes_of(bf16_bits(values)),
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

    /// Index of a value of a matrix in tiles: tile by tile along the rows, each in four faces.
    fn in_tiles(row: usize, column: usize, width: usize) -> usize {
        const FACE: usize = TILE / 2;
        let tile = row / TILE * (width / TILE) + column / TILE;
        let (row, column) = (row % TILE, column % TILE);
        let face = row / FACE * 2 + column / FACE;
        (tile * 4 + face) * FACE * FACE + row % FACE * FACE + column % FACE
    }

    /// The CPU device's patches, rounded to bfloat16, with zeros up to the next tile.
    fn expected(image: &Pixels, grid: PatchGrid) -> Vec<f32> {
        let cpu = CpuDevice::new(Precision::F32, 1).unwrap();
        let image = cpu.upload_image(image, grid.image_size).unwrap();
        let patches = cpu.read_back(&cpu.patches(&image, grid).unwrap()).unwrap();
        let padded_width = grid.patch_dim().next_multiple_of(TILE);
        let mut padded = Vec::new();
        for patch in patches.chunks(grid.patch_dim()) {
            padded.extend(patch.iter().map(|value| bf16::from_f32(*value).to_f32()));
            padded.resize(padded.len().next_multiple_of(padded_width), 0.0);
        }
        padded.resize(padded.len().next_multiple_of(TILE * padded_width), 0.0);
        padded
    }

    fn check(grid: PatchGrid, bytes: bool, cores: (u32, u32), dram_alignment: usize) {
        let image = image(grid, bytes);
        let patches = unfold(&image, grid, cores, dram_alignment, |_| {}).unwrap();
        assert!(patches == expected(&image, grid), "{grid:?}, bytes: {bytes}");
    }

    #[test]
    fn the_kernel_s_patches_of_bytes_are_the_cpu_device_s_in_bfloat16() {
        check(PI0, true, (8, 8), WORMHOLE_DRAM_ALIGNMENT);
    }

    #[test]
    fn the_kernel_s_patches_of_bfloat16_are_the_cpu_device_s() {
        check(PI0, false, (11, 10), BLACKHOLE_DRAM_ALIGNMENT);
    }

    #[test]
    fn images_and_patches_of_any_size_are_unfolded() {
        for (image_size, patch_size) in [(120, 20), (33, 8), (40, 1), (64, 40), (90, 3)] {
            let grid = PatchGrid {
                image_size,
                patch_size,
            };
            check(grid, true, (3, 2), BLACKHOLE_DRAM_ALIGNMENT);
            check(grid, false, (8, 8), WORMHOLE_DRAM_ALIGNMENT);
        }
    }

    #[test]
    fn the_emulation_refuses_what_a_card_would_do_wrong() {
        let image = image(PI0, true);
        let changed = |what: &'static str, by: &'static str, problem: &str| {
            let refused = unfold(&image, PI0, (8, 8), WORMHOLE_DRAM_ALIGNMENT, |program| {
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
        let image = image(PI0, true);
        let transposed = unfold(&image, PI0, (8, 8), WORMHOLE_DRAM_ALIGNMENT, |program| {
            let source = program.writer.source;
            let other = source.replace("row / 16 * 2 + column / 16", "column / 16 * 2 + row / 16");
            assert_ne!(source, other);
            program.writer.source = other.leak();
        });
        assert!(transposed.unwrap() != expected(&image, PI0));
    }
}
