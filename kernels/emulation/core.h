// One Tensix core and the DRAM it reads and writes, for kernels compiled on the host: as much of TT-Metalium's kernel API as
// the kernels of this folder use, and stricter than a card. Whatever would be undefined there ends the process here, in words:
// a circular buffer that is pushed without room or popped without pages, memory that is touched outside of the pages that are
// held, or read before a barrier, before anything wrote it, or past a stale cache, an address that the network cannot serve, a
// page that is left or reused while data is under way, and processors that wait for each other for ever.
#pragma once

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace emulation {

constexpr uint32_t l1_bytes = 1464 * 1024;
constexpr uint32_t max_buffers = 32;
constexpr uint32_t max_transfers = 256;
constexpr uint32_t l1_write_alignment = 16;

[[noreturn, gnu::format(printf, 1, 2)]] inline void fail(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    _Exit(1);
}

// Interleaved over the DRAM's banks, a page after the other.
struct Tensor {
    uint32_t address;
    uint32_t page_bytes;
    uint32_t aligned_page_bytes;
    uint32_t num_pages;
    uint8_t* data;
    // How often each page was written.
    uint32_t* writes;
};

struct Processor;

struct Buffer {
    uint32_t address;
    uint32_t page_bytes;
    uint32_t num_pages;
    // Since the start: pages pushed and popped, and those that their processors hold beyond.
    uint32_t pushed;
    uint32_t popped;
    uint32_t reserved;
    uint32_t waited;
    // Those that the consumer's cache may not have.
    bool stale;
    Processor* producer;
    Processor* consumer;

    uint32_t write_address() const { return address + pushed % num_pages * page_bytes; }
    uint32_t read_address() const { return address + popped % num_pages * page_bytes; }
};

// Under way on the network until a barrier.
struct Transfer {
    uint32_t l1_address;
    uint8_t* dram;
    uint32_t bytes;
};

struct Processor {
    const char* name;
    void (*kernel_main)();
    const uint32_t* compile_time_args;
    uint32_t num_compile_time_args;
    const uint32_t* common_args;
    uint32_t num_common_args;
    const uint32_t* args;
    uint32_t num_args;
    Transfer reads[max_transfers];
    uint32_t num_reads;
    Transfer writes[max_transfers];
    uint32_t num_writes;
    // Sent from L1, perhaps not yet in DRAM.
    bool writes_flushed_not_landed;
    bool waiting;
    bool finished;
};

inline uint8_t l1[l1_bytes];
inline bool written[l1_bytes];
inline Buffer buffers[max_buffers];
inline Tensor* tensors;
inline uint32_t num_tensors;
inline uint32_t dram_alignment;
inline Processor processors[2];
inline pthread_mutex_t core_lock = PTHREAD_MUTEX_INITIALIZER;
inline pthread_cond_t core_changed = PTHREAD_COND_INITIALIZER;
inline thread_local Processor* self;

struct Locked {
    Locked() { pthread_mutex_lock(&core_lock); }
    ~Locked() { pthread_mutex_unlock(&core_lock); }
};

inline void check(bool holds, const char* what) {
    if (!holds) {
        fail("%s: %s", self ? self->name : "program", what);
    }
}

// Holds the lock; waits for the other processor.
template <typename Condition>
void wait_until(Condition condition) {
    Processor& other = processors[self == &processors[0] ? 1 : 0];
    while (!condition()) {
        check(!other.waiting && !other.finished, "waits for ever");
        self->waiting = true;
        pthread_cond_wait(&core_changed, &core_lock);
        self->waiting = false;
    }
}

inline void changed() {
    // Who is woken has not looked yet.
    processors[0].waiting = processors[1].waiting = false;
    pthread_cond_broadcast(&core_changed);
}

inline Buffer& buffer(uint32_t id) {
    check(id < max_buffers && buffers[id].num_pages > 0, "circular buffer that the program does not have");
    return buffers[id];
}

inline bool overlaps(const Transfer& transfer, uint32_t address, uint32_t bytes) {
    return transfer.l1_address < address + bytes && address < transfer.l1_address + transfer.bytes;
}

inline bool under_way(const Transfer* transfers, uint32_t count, uint32_t address, uint32_t bytes) {
    for (uint32_t index = 0; index < count; ++index) {
        if (overlaps(transfers[index], address, bytes)) {
            return true;
        }
    }
    return false;
}

// Pages in one piece: nothing that is held wraps around the end.
inline bool holds(uint32_t start, uint32_t pages, const Buffer& buffer, uint32_t address, uint32_t bytes) {
    return address >= start && address + bytes <= start + pages * buffer.page_bytes;
}

inline bool reserved_by_self(uint32_t address, uint32_t bytes) {
    for (const Buffer& buffer : buffers) {
        if (buffer.producer == self && holds(buffer.write_address(), buffer.reserved, buffer, address, bytes)) {
            return true;
        }
    }
    return false;
}

inline const Buffer* waited_by_self(uint32_t address, uint32_t bytes) {
    for (const Buffer& buffer : buffers) {
        if (buffer.consumer == self && holds(buffer.read_address(), buffer.waited, buffer, address, bytes)) {
            return &buffer;
        }
    }
    return nullptr;
}

inline bool all_written(uint32_t address, uint32_t bytes) {
    return memchr(written + address, 0, bytes) == nullptr;
}

// A load or store of the processor itself.
inline uint8_t* access(uint32_t address, uint32_t bytes, bool store) {
    Locked locked;
    check(address % bytes == 0, "value at an address that its size does not divide");
    if (store) {
        check(reserved_by_self(address, bytes), "stores outside of reserved pages");
        check(!under_way(self->writes, self->num_writes, address, bytes), "stores into what is being sent");
        memset(written + address, 1, bytes);
    } else {
        const Buffer* buffer = waited_by_self(address, bytes);
        check(buffer != nullptr, "loads outside of waited-for pages");
        check(!buffer->stale, "loads past a stale cache");
        check(all_written(address, bytes), "loads what nothing wrote");
    }
    return l1 + address;
}

inline void land_reads() {
    for (uint32_t index = 0; index < self->num_reads; ++index) {
        const Transfer& read = self->reads[index];
        memcpy(l1 + read.l1_address, read.dram, read.bytes);
        memset(written + read.l1_address, 1, read.bytes);
    }
    self->num_reads = 0;
}

inline void flush_writes() {
    for (uint32_t index = 0; index < self->num_writes; ++index) {
        const Transfer& write = self->writes[index];
        memcpy(write.dram, l1 + write.l1_address, write.bytes);
    }
    self->writes_flushed_not_landed |= self->num_writes > 0;
    self->num_writes = 0;
}

inline void fresh_cache() {
    for (Buffer& buffer : buffers) {
        if (buffer.consumer == self) {
            buffer.stale = false;
        }
    }
}

}  // namespace emulation

#define get_compile_time_arg_val(index) (compile_time_args[index])

template <typename T>
T get_arg_val(uint32_t index) {
    emulation::check(index < emulation::self->num_args, "argument that it was not given");
    return T(emulation::self->args[index]);
}

template <typename T>
T get_common_arg_val(uint32_t index) {
    emulation::check(index < emulation::self->num_common_args, "common argument that it was not given");
    return T(emulation::self->common_args[index]);
}

inline void invalidate_l1_cache() {
    emulation::Locked locked;
    emulation::fresh_cache();
}
