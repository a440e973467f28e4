#pragma once

#include "core.h"

// What a processor loads through a pointer to const, and stores through any other.
template <typename T>
class CoreLocalMem {
    template <typename U>
    static constexpr bool stores = true;
    template <typename U>
    static constexpr bool stores<const U> = false;

public:
    CoreLocalMem(uint32_t address) : address_(address) {}

    T& operator[](uint32_t index) const {
        return *reinterpret_cast<T*>(
            emulation::access(address_ + index * sizeof(T), sizeof(T), stores<T>));
    }
    T& operator*() const { return (*this)[0]; }

private:
    uint32_t address_;
};
