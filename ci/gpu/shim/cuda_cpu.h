// Lets a C++ compiler build a .cu file for the CPU: c++ -std=c++17 -include cuda_cpu.h -x c++ f.cu
//
// Requires the headers of the CUDA toolkit for the host versions of __half and __nv_bfloat16. Only
// shared memory cannot be expressed: our kernels use SHARED(T, name, [n]) and DYNAMIC_SHARED(T,
// name), which are defined here and, for nvcc, in the kernels' own header.
#pragma once
#define GPU_CPU_SHIM 1
#include "gpu_rt.h"
#include <cfloat>
#include <climits>
#include <cmath>
#include <cstdio>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <vector_types.h>
#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __constant__
#undef __forceinline__
#undef __launch_bounds__
#ifdef GPU_LIST_KERNELS // preprocessing only, to find the kernels' names
#define __global__ GPU_KERNEL_HERE
#else
#define __global__
#endif
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static thread_local // in candle's kernels: all fibers of a block are one thread

// A distinct address for every call site.
#define GPU_SITE ([]() -> const void* { static const char here = 0; return &here; }())
#define SHARED(T, name, ...)                                                                       \
    auto& name = *reinterpret_cast<std::remove_reference_t<T __VA_ARGS__>*>(                       \
        gpurt::shared_memory(GPU_SITE, sizeof(T __VA_ARGS__)))
#define DYNAMIC_SHARED(T, name) T* name = reinterpret_cast<T*>(gpurt::self->dynamic_shared)

#define threadIdx (gpurt::self->tid)
#define blockIdx (gpurt::self->bid)
#define blockDim (gpurt::self->bdim)
#define gridDim (gpurt::self->gdim)
#define warpSize 32
#define __syncthreads() gpurt::block_barrier(GPU_SITE)
#define __syncwarp(...) gpurt::warp_barrier(0xffffffffu, GPU_SITE)

static inline unsigned gpu_lane() { return gpurt::self->linear % 32; }
static inline unsigned gpu_lane_down(unsigned by) {
    return gpu_lane() + by < 32 ? gpu_lane() + by : gpu_lane();
}
#define __shfl_xor_sync(mask, v, m, ...) \
    gpurt::exchange((mask), (v), gpu_lane() ^ (unsigned)(m), GPU_SITE)
#define __shfl_down_sync(mask, v, d, ...) \
    gpurt::exchange((mask), (v), gpu_lane_down((unsigned)(d)), GPU_SITE)
#define __shfl_sync(mask, v, s, ...) gpurt::exchange((mask), (v), (unsigned)(s), GPU_SITE)

// These are macros because the C library declares some of the names.
#define __expf(x) ::expf(x)
#define __logf(x) ::logf(x)
#define __powf(x, y) ::powf(x, y)
#define __sinf(x) ::sinf(x)
#define __cosf(x) ::cosf(x)
static inline float __fdividef(float a, float b) { return a / b; }
static inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
static inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
static inline float normcdff(float x) { return 0.5f * std::erfc(-x * 0.70710678118654752f); }
static inline double normcdf(double x) { return 0.5 * std::erfc(-x * 0.70710678118654752); }
static inline unsigned __umulhi(unsigned a, unsigned b) {
    return (unsigned)((unsigned long long)a * b >> 32);
}
using std::isinf;
using std::isnan;
using std::signbit;
template <class T> static inline T min(T a, T b) { return b < a ? b : a; }
template <class T> static inline T max(T a, T b) { return a < b ? b : a; }
template <class T> static inline T __ldg(const T* p) { return *p; }

// Only candle's kernels use these. No other fiber runs inside them.
template <class T, class U> static inline T atomicAdd(T* p, U v) {
    T old = *p;
    *p = old + (T)v;
    return old;
}
template <class T, class U> static inline T atomicMax(T* p, U v) {
    T old = *p;
    if (old < (T)v) *p = (T)v;
    return old;
}
template <class T, class U> static inline T atomicMin(T* p, U v) {
    T old = *p;
    if ((T)v < old) *p = (T)v;
    return old;
}
template <class T, class U, class V> static inline T atomicCAS(T* p, U expected, V v) {
    T old = *p;
    if (old == (T)expected) *p = (T)v;
    return old;
}

template <class To, class From> static inline To gpu_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "both types must have the same size");
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}
#define __double_as_longlong(x) gpu_bits<long long>((double)(x))
#define __longlong_as_double(x) gpu_bits<double>((long long)(x))
#define __float_as_int(x) gpu_bits<int>((float)(x))
#define __float_as_uint(x) gpu_bits<unsigned>((float)(x))
#define __int_as_float(x) gpu_bits<float>((int)(x))
#define __uint_as_float(x) gpu_bits<float>((unsigned)(x))
