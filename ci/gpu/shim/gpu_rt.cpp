// Code shared by both implementations: sizes, errors, shared memory.
#include "gpu_rt.h"
#include <cstdlib>
#include <string>
#include <vector>

namespace gpurt {

thread_local Thread* self = nullptr;
static thread_local std::string t_error;

const char* last_error() { return t_error.c_str(); }

int fail(Outcome outcome, const char* message) {
    t_error = message;
    return outcome;
}

bool is_valid_launch(Dim3 grid, Dim3 block) {
    const uint64_t threads = (uint64_t)block.x * block.y * block.z;
    const bool fits = threads >= 1 && threads <= 1024 && block.z <= 64 && grid.x >= 1 &&
                      grid.x <= 0x7fffffffu && grid.y >= 1 && grid.y <= 65535 && grid.z >= 1 &&
                      grid.z <= 65535;
    fail(fits ? OK : BAD_LAUNCH, fits ? "" : "grid or block exceeds the limits of a GPU");
    return fits;
}

Thread make_thread(unsigned index, Dim3 bid, Dim3 block, Dim3 grid, void* dynamic_shared) {
    Thread thread;
    thread.tid = Dim3(index % block.x, index / block.x % block.y, index / (block.x * block.y));
    thread.bid = bid;
    thread.bdim = block;
    thread.gdim = grid;
    thread.linear = index;
    thread.dynamic_shared = dynamic_shared;
    thread.exchanges = 0;
    return thread;
}

Dim3 block_at(uint64_t index, Dim3 grid) {
    return Dim3(index % grid.x, index / grid.x % grid.y, index / ((uint64_t)grid.x * grid.y));
}

// An array with a canary behind it. All ones are NaN in every floating-point format, so a read of
// uninitialized memory shows in the result.
struct Array {
    const void* site;
    size_t bytes;
    unsigned char* memory;
};
static constexpr size_t CANARY = 1024;
static constexpr unsigned char POISON = 0xff;

struct SharedMemory::Arrays {
    std::vector<Array> all;
};

static Array make_array(const void* site, size_t bytes) {
    const size_t size = (bytes + CANARY + 63) / 64 * 64;
    Array array{site, bytes, static_cast<unsigned char*>(aligned_alloc(64, size))};
    std::memset(array.memory, POISON, bytes + CANARY);
    return array;
}

SharedMemory::SharedMemory(size_t dynamic) : arrays(new Arrays) {
    arrays->all.push_back(make_array(nullptr, dynamic));
}

SharedMemory::~SharedMemory() {
    for (Array& array : arrays->all) free(array.memory);
    delete arrays;
}

void* SharedMemory::dynamic() { return arrays->all[0].memory; }

void* SharedMemory::array(const void* site, size_t bytes) {
    for (Array& array : arrays->all)
        if (array.site == site) return array.memory;
    arrays->all.push_back(make_array(site, bytes));
    return arrays->all.back().memory;
}

void SharedMemory::reset() {
    for (Array& array : arrays->all) std::memset(array.memory, POISON, array.bytes);
}

bool SharedMemory::is_intact() const {
    for (const Array& array : arrays->all)
        for (size_t i = 0; i < CANARY; i++)
            if (array.memory[array.bytes + i] != POISON) return false;
    return true;
}

} // namespace gpurt
