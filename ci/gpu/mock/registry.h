// Kernels that are compiled for the CPU, by name.
#pragma once
#include "gpu_rt.h"
#include <string>
#include <type_traits>
#include <unordered_map>

struct Kernel {
    int (*run)(void** arguments, const unsigned* grid, const unsigned* block, size_t shared,
               uint64_t schedule);
    size_t parameters;
    const bool* is_pointer;
};

std::unordered_map<std::string, Kernel>& kernels();

// Registered<&kernel>::entry() derives the parameters from the kernel's type.
template <auto F> struct Registered;
template <class... A, void (*F)(A...)> struct Registered<F> {
    static int run(void** arguments, const unsigned* grid, const unsigned* block, size_t shared,
                   uint64_t schedule) {
        return gpurt::launch_kernel(F, arguments, grid, block, shared, schedule);
    }
    static Kernel entry() {
        static const bool is_pointer[] = {std::is_pointer<A>::value...};
        return {&run, sizeof...(A), is_pointer};
    }
};
