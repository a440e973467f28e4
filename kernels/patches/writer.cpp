// Picks the pixels of each tile from their rows, as bfloat16, and writes the tile.

#include "api/core_local_mem.h"
#include "api/dataflow/circular_buffer.h"
#include "api/tensor/noc_traits.h"

constexpr uint32_t table_bytes = 256 * sizeof(uint16_t);
constexpr uint32_t tile_bytes = tile_side * tile_side * sizeof(uint16_t);

// A tile is stored as four faces of 16 × 16, the upper two first.
inline uint32_t place_in_tile(uint32_t row, uint32_t column) {
    const uint32_t face = row / 16 * 2 + column / 16;
    return face * 256 + row % 16 * 16 + column % 16;
}

// The bits of the bfloat16 that a pixel in c_0 stands for.
inline uint16_t pixel(uint32_t address, const CoreLocalMem<const uint16_t>& table) {
    if constexpr (pixel_bytes == 1) {
        return table[*CoreLocalMem<const uint8_t>(address)];
    } else {
        return *CoreLocalMem<const uint16_t>(address);
    }
}

void kernel_main() {
    const uint32_t patches_address = get_common_arg_val<uint32_t>(0);
    const uint32_t table_address = get_common_arg_val<uint32_t>(1);
    const uint32_t first_tile = get_arg_val<uint32_t>(0);
    const uint32_t num_tiles = get_arg_val<uint32_t>(1);

    constexpr auto patches_args = TensorAccessorArgs<first_accessor_arg>();
    constexpr auto table_args = TensorAccessorArgs<patches_args.next_compile_time_args_offset()>();
    const auto patches = TensorAccessor(patches_args, patches_address);

    Noc noc;
    CircularBuffer cb_rows(cb_id_rows);
    CircularBuffer cb_table(cb_id_table);
    CircularBuffer cb_tile(cb_id_tile);

    if constexpr (pixel_bytes == 1) {
        cb_table.reserve_back(1);
        noc.async_read(TensorAccessor(table_args, table_address), cb_table, table_bytes, {.page_id = 0}, {});
        noc.async_read_barrier();
        cb_table.push_back(1);
        cb_table.wait_front(1);
    }
    const CoreLocalMem<const uint16_t> table(cb_table.get_read_ptr());

    for (uint32_t index = first_tile; index < first_tile + num_tiles; ++index) {
        const PatchTile tile(index);
        cb_rows.wait_front(1);
        // The other processor had these rows written: what is cached here of the rows before them is not theirs.
        invalidate_l1_cache();
        cb_tile.reserve_back(1);
        const CoreLocalMem<uint16_t> values(cb_tile.get_write_ptr());
        for (uint32_t row = 0; row < tile_side; ++row) {
            const uint32_t patch = tile.first_patch + row;
            const uint32_t patch_row = patch / patches_a_side - tile.first_patch_row;
            uint32_t stretch = cb_rows.get_read_ptr() + patch_row * tile.num_stretches * row_stride +
                               patch % patches_a_side * patch_size * pixel_bytes;
            uint32_t place = tile.first_value % patch_size;
            for (uint32_t column = 0; column < tile_side; ++column) {
                const bool filled = row < tile.num_patches && column < tile.num_values;
                values[place_in_tile(row, column)] = filled ? pixel(stretch + place * pixel_bytes, table) : 0;
                if (++place == patch_size) {
                    place = 0;
                    stretch += row_stride;
                }
            }
        }
        cb_rows.pop_front(1);
        cb_tile.push_back(1);

        cb_tile.wait_front(1);
        noc.async_write(cb_tile, patches, tile_bytes, {}, {.page_id = index});
        // The buffer has room for one tile: the next is made when this one has left.
        noc.async_writes_flushed();
        cb_tile.pop_front(1);
    }
    noc.async_write_barrier();
    if constexpr (pixel_bytes == 1) {
        cb_table.pop_front(1);
    }
}
