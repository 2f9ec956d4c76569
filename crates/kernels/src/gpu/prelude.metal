// What every kernel here begins with; the host puts it before the kernels' own source.
//
// Numbers are read and written as float, half or bfloat and always added up as float. Offsets are
// 32 bits wide: the host refuses larger tensors.
#include <metal_stdlib>
using namespace metal;

// Defines a kernel for each type of number: KERNEL(type, suffix of the name).
#if defined(__HAVE_BFLOAT__)
#define FOR_EACH_TYPE(KERNEL) KERNEL(float, f32) KERNEL(half, f16) KERNEL(bfloat, bf16)
#else
#define FOR_EACH_TYPE(KERNEL) KERNEL(float, f32) KERNEL(half, f16)
#endif

// Where a thread is in its threadgroup: parameters of a kernel that reduces, and what carries them.
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

// The sum of `x` over the threadgroup, in a fixed order; `shared` holds a float for each SIMD-group.
static inline float block_sum(float x, threadgroup float* shared, Place place) {
    x = simd_sum(x);
    // The result of an earlier sum may still be being read.
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
