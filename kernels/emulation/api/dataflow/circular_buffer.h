#pragma once

#include "core.h"

class CircularBuffer {
public:
    explicit CircularBuffer(uint32_t id) : id_(id) {}

    void reserve_back(uint32_t pages) {
        emulation::Locked locked;
        emulation::Buffer& buffer = emulation::buffer(id_);
        own(buffer.producer);
        emulation::check(pages <= buffer.num_pages, "reserves more pages than the buffer has");
        emulation::check(buffer.pushed % buffer.num_pages + pages <= buffer.num_pages, "reserves around the end");
        emulation::wait_until([&] { return buffer.pushed + pages - buffer.popped <= buffer.num_pages; });
        if (pages > buffer.reserved) {
            buffer.reserved = pages;
        }
        memset(emulation::written + buffer.write_address(), 0, pages * buffer.page_bytes);
    }

    void push_back(uint32_t pages) {
        emulation::Locked locked;
        emulation::Buffer& buffer = emulation::buffer(id_);
        own(buffer.producer);
        emulation::check(pages <= buffer.reserved, "pushes pages that it did not reserve");
        const emulation::Processor& self = *emulation::self;
        const uint32_t bytes = pages * buffer.page_bytes;
        emulation::check(
            !emulation::under_way(self.reads, self.num_reads, buffer.write_address(), bytes),
            "pushes pages that are being read");
        buffer.pushed += pages;
        buffer.reserved -= pages;
        emulation::changed();
    }

    void wait_front(uint32_t pages) {
        emulation::Locked locked;
        emulation::Buffer& buffer = emulation::buffer(id_);
        own(buffer.consumer);
        emulation::check(pages <= buffer.num_pages, "waits for more pages than the buffer has");
        emulation::check(buffer.popped % buffer.num_pages + pages <= buffer.num_pages, "waits around the end");
        emulation::wait_until([&] { return buffer.pushed - buffer.popped >= pages; });
        if (pages > buffer.waited) {
            buffer.waited = pages;
            // What it pushed itself is its own, or had a barrier.
            buffer.stale |= buffer.producer != emulation::self;
        }
    }

    void pop_front(uint32_t pages) {
        emulation::Locked locked;
        emulation::Buffer& buffer = emulation::buffer(id_);
        own(buffer.consumer);
        emulation::check(pages <= buffer.waited, "pops pages that it did not wait for");
        const emulation::Processor& self = *emulation::self;
        const uint32_t bytes = pages * buffer.page_bytes;
        emulation::check(
            !emulation::under_way(self.writes, self.num_writes, buffer.read_address(), bytes),
            "pops pages that are being sent");
        buffer.popped += pages;
        buffer.waited -= pages;
        emulation::changed();
    }

    uint32_t get_write_ptr() const {
        emulation::Locked locked;
        return emulation::buffer(id_).write_address();
    }

    uint32_t get_read_ptr() const {
        emulation::Locked locked;
        return emulation::buffer(id_).read_address();
    }

private:
    static void own(emulation::Processor*& side) {
        emulation::check(side == nullptr || side == emulation::self, "shares one side of a buffer with the other");
        side = emulation::self;
    }

    uint32_t id_;
};
