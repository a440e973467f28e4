// Brings the rows of pixels of each tile: for every row of patches that the tile touches, the stretches it touches.

#include "api/dataflow/circular_buffer.h"
#include "api/tensor/noc_traits.h"

void kernel_main() {
    const uint32_t pixels_address = get_common_arg_val<uint32_t>(0);
    const uint32_t first_tile = get_arg_val<uint32_t>(0);
    const uint32_t num_tiles = get_arg_val<uint32_t>(1);

    constexpr auto pixels_args = TensorAccessorArgs<first_accessor_arg>();
    const auto pixels = TensorAccessor(pixels_args, pixels_address);

    Noc noc;
    CircularBuffer cb_rows(cb_id_rows);

    for (uint32_t index = first_tile; index < first_tile + num_tiles; ++index) {
        const PatchTile tile(index);
        cb_rows.reserve_back(1);
        uint32_t offset = 0;
        for (uint32_t patch_row = 0; patch_row < tile.num_patch_rows; ++patch_row) {
            for (uint32_t stretch = 0; stretch < tile.num_stretches; ++stretch) {
                const uint32_t page = tile.page(tile.first_patch_row + patch_row, tile.first_stretch + stretch);
                noc.async_read(
                    pixels, cb_rows, image_size * pixel_bytes, {.page_id = page}, {.offset_bytes = offset});
                offset += row_stride;
            }
        }
        noc.async_read_barrier();
        cb_rows.push_back(1);
    }
}
