// Common start of all kernels; the host puts it before the source of each library.
//
// Elements are stored as float, half or bfloat, and summed as float. Offsets have 32 bits: the host
// rejects larger tensors.
#include <metal_stdlib>
using namespace metal;

// Defines a kernel for each element type: KERNEL(type, suffix of the name).
#if defined(__HAVE_BFLOAT__)
#define FOR_EACH_TYPE(KERNEL) KERNEL(float, f32) KERNEL(half, f16) KERNEL(bfloat, bf16)
#else
#define FOR_EACH_TYPE(KERNEL) KERNEL(float, f32) KERNEL(half, f16)
#endif

// Position of a thread in its threadgroup: parameters of a kernel that reduces, and their
// structure.
#define PLACE                                                                                      \
    uint thread_index [[thread_index_in_threadgroup]], uint threads [[threads_per_threadgroup]],   \
        uint lane [[thread_index_in_simdgroup]], uint simd [[simdgroup_index_in_threadgroup]],     \
        uint simds [[simdgroups_per_threadgroup]]
#define HERE Place{thread_index, threads, lane, simd, simds}

struct Place {
    uint thread_index;
    uint threads;
    uint lane;
    uint simd;
    uint simds;
};

// The sum of `x` over the threadgroup, in a fixed order; `shared` holds one float per SIMD-group.
static inline float block_sum(float x, threadgroup float* shared, Place place) {
    x = simd_sum(x);
    // Other threads may still be reading the previous sum.
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (place.lane == 0) shared[place.simd] = x;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    float sum = 0.0f;
    for (uint i = 0; i < place.simds; ++i) sum += shared[i];
    return sum;
}

// 1 / (1 + exp(-x)).
static inline float sigmoid_of(float x) {
    return 1.0f / (1.0f + exp(-x));
}

// The derivative of silu(x) = x sigmoid(x), where s = sigmoid(x).
static inline float silu_derivative(float x, float s) {
    return s * (1.0f + x * (1.0f - s));
}
