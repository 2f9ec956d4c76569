// Lookup and launch of a Metal kernel on the CPU.
#pragma once
#include "../gpu_rt.h"

// Bindings of a kernel, by index, and the sizes of its launch.
struct MslLaunch {
    void** buffers;
    const size_t* lengths; // in bytes
    size_t count;
    const unsigned* grid; // threadgroups
    const unsigned* block; // threads per threadgroup
    size_t threadgroup_memory;
    uint64_t schedule;
};

struct MslEntry {
    const char* name;
    int (*run)(const MslLaunch*);
};

inline int msl_launch(gpurt::Entry entry, const MslLaunch* launch) {
    return gpurt::launch(entry, launch->buffers,
                         gpurt::Dim3(launch->grid[0], launch->grid[1], launch->grid[2]),
                         gpurt::Dim3(launch->block[0], launch->block[1], launch->block[2]),
                         launch->threadgroup_memory, launch->schedule);
}

inline unsigned msl_simdgroups() {
    const gpurt::Dim3 block = gpurt::self->bdim;
    return (block.x * block.y * block.z + gpurt::WARP - 1) / gpurt::WARP;
}
