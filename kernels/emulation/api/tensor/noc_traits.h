#pragma once

#include "api/dataflow/circular_buffer.h"

// Of a tensor: two arguments, that it is interleaved in DRAM, and its page's aligned size.
template <uint32_t FIRST>
struct TensorAccessorArgs {
    static constexpr uint32_t first = FIRST;
    static constexpr uint32_t next_compile_time_args_offset() { return FIRST + 2; }
};

class TensorAccessor {
public:
    template <uint32_t FIRST>
    TensorAccessor(TensorAccessorArgs<FIRST>, uint32_t address) {
        const emulation::Processor& self = *emulation::self;
        emulation::check(FIRST + 2 <= self.num_compile_time_args, "accessor without its arguments");
        for (uint32_t index = 0; index < emulation::num_tensors; ++index) {
            if (emulation::tensors[index].address == address) {
                tensor_ = &emulation::tensors[index];
            }
        }
        emulation::check(tensor_ != nullptr, "accessor of an address where no tensor starts");
        constexpr uint32_t in_dram = 2;
        emulation::check(
            self.compile_time_args[FIRST] == in_dram &&
                self.compile_time_args[FIRST + 1] == tensor_->aligned_page_bytes,
            "accessor with another tensor's arguments");
    }

    const emulation::Tensor* tensor() const { return tensor_; }

private:
    const emulation::Tensor* tensor_ = nullptr;
};

class Noc {
public:
    struct Page {
        uint32_t page_id;
        uint32_t offset_bytes = 0;
    };
    struct Local {
        uint32_t offset_bytes = 0;
    };

    void async_read(
        const TensorAccessor& source, const CircularBuffer& target, uint32_t bytes, Page page, Local local) const {
        const uint32_t address = target.get_write_ptr() + local.offset_bytes;
        emulation::Locked locked;
        emulation::Processor& self = *emulation::self;
        uint8_t* dram = reach(source, page, bytes, address, emulation::dram_alignment);
        emulation::check(emulation::reserved_by_self(address, bytes), "reads outside of reserved pages");
        add(self.reads, self.num_reads, {address, dram, bytes});
    }

    void async_write(
        const CircularBuffer& source, const TensorAccessor& target, uint32_t bytes, Local local, Page page) const {
        const uint32_t address = source.get_read_ptr() + local.offset_bytes;
        emulation::Locked locked;
        emulation::Processor& self = *emulation::self;
        uint8_t* dram = reach(target, page, bytes, address, emulation::l1_write_alignment);
        emulation::check(emulation::waited_by_self(address, bytes), "sends what is outside of waited-for pages");
        emulation::check(emulation::all_written(address, bytes), "sends what nothing wrote");
        ++target.tensor()->writes[page.page_id];
        add(self.writes, self.num_writes, {address, dram, bytes});
    }

    void async_read_barrier() const {
        emulation::Locked locked;
        emulation::land_reads();
        emulation::fresh_cache();
    }

    void async_writes_flushed() const {
        emulation::Locked locked;
        emulation::flush_writes();
    }

    void async_write_barrier() const {
        emulation::Locked locked;
        emulation::flush_writes();
        emulation::self->writes_flushed_not_landed = false;
    }

private:
    static uint8_t* reach(
        const TensorAccessor& accessor, Page page, uint32_t bytes, uint32_t l1_address, uint32_t alignment) {
        const emulation::Tensor& tensor = *accessor.tensor();
        emulation::check(page.page_id < tensor.num_pages, "page beyond the tensor");
        emulation::check(page.offset_bytes + bytes <= tensor.page_bytes, "bytes beyond the page");
        // Banks and pages start at aligned addresses: what is left is the place in the page.
        emulation::check(
            page.offset_bytes % alignment == l1_address % alignment, "addresses that do not agree in their alignment");
        return tensor.data + page.page_id * tensor.page_bytes + page.offset_bytes;
    }

    static void add(emulation::Transfer* transfers, uint32_t& count, emulation::Transfer transfer) {
        emulation::check(
            !emulation::under_way(transfers, count, transfer.l1_address, transfer.bytes), "two transfers of one place");
        emulation::check(count < emulation::max_transfers, "more transfers at once than the emulation keeps");
        transfers[count++] = transfer;
    }
};
