// Code shared by all kernels: element types, sums over warps and blocks, shared memory.
//
// Elements are stored as f32, f16 or bf16; arithmetic is in f32. Every kernel exists once per type,
// with the suffix of the type.
#pragma once

#ifndef GPU_CPU_SHIM
#include <cuda_bf16.h>
#include <cuda_fp16.h>
// Array shared by the threads of a block: SHARED(float, tile, [8][64]).
#define SHARED(T, name, ...) __shared__ __align__(16) T name __VA_ARGS__
#endif

// KERNEL(T, suffix) for every element type.
#define FOR_EACH_TYPE(KERNEL) \
    KERNEL(float, f32)        \
    KERNEL(__half, f16)       \
    KERNEL(__nv_bfloat16, bf16)

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__half x) { return __half2float(x); }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <typename T> __device__ __forceinline__ T from_float(float x);
template <> __device__ __forceinline__ float from_float<float>(float x) { return x; }
template <> __device__ __forceinline__ __half from_float<__half>(float x) {
    return __float2half(x);
}
template <> __device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float x) {
    return __float2bfloat16(x);
}

// Four elements at an address that is aligned to four elements.
template <typename T> struct alignas(4 * sizeof(T)) Four {
    T of[4];
};

// Elements per thread of an element-wise kernel, at distances of a block's width.
constexpr unsigned PER_THREAD = 4;

// Runs `body` for the elements `i` of this thread.
#define FOR_EACH_ELEMENT(i, count)                                                            \
    for (unsigned long long i##_first = (unsigned long long)blockIdx.x * blockDim.x * PER_THREAD, \
                            i = i##_first + threadIdx.x;                                      \
         i < (count) && i < i##_first + (unsigned long long)blockDim.x * PER_THREAD;          \
         i += blockDim.x)

__device__ __forceinline__ float sigmoid_of(float x) { return 1.0f / (1.0f + expf(-x)); }
// The derivative of x · sigmoid(x), where s = sigmoid(x).
__device__ __forceinline__ float silu_derivative(float x, float s) {
    return s * (1.0f + x * (1.0f - s));
}

__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) x += __shfl_xor_sync(0xffffffffu, x, offset);
    return x;
}

__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) {
        const float other = __shfl_xor_sync(0xffffffffu, x, offset);
        // Ignores NaN.
        x = x < other ? other : x;
    }
    return x;
}

// The sum over the block, in every thread. The block has whole warps, `scratch` 32 elements.
__device__ __forceinline__ float block_sum(float x, float* scratch) {
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    x = warp_sum(x);
    // Other threads may still be reading the previous sum.
    __syncthreads();
    if (lane == 0) scratch[warp] = x;
    __syncthreads();
    x = warp_sum(lane < warps ? scratch[lane] : 0.0f);
    return x;
}
