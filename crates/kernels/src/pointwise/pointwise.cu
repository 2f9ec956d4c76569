// Element-wise operations.
#include "../gpu/prelude.cuh"

// y[i] = f(x[i]).
template <typename T, typename F>
__device__ __forceinline__ void map(const T* x, T* y, unsigned long long count, F f) {
    FOR_EACH_ELEMENT(i, count) y[i] = from_float<T>(f(to_float(x[i])));
}

// z[i] = f(x[i], y[i]).
template <typename T, typename F>
__device__ __forceinline__ void zip(const T* x, const T* y, T* z, unsigned long long count, F f) {
    FOR_EACH_ELEMENT(i, count) z[i] = from_float<T>(f(to_float(x[i]), to_float(y[i])));
}

// y = x + c, with one c per `pixels` elements.
template <typename T>
__device__ __forceinline__ void add_channels(const T* x, const T* c, T* y,
                                             unsigned long long count, unsigned pixels) {
    FOR_EACH_ELEMENT(i, count) y[i] = from_float<T>(to_float(x[i]) + to_float(c[i / pixels]));
}

// sums[i] = the sum of `pixels` elements. One block per sum.
template <typename T>
__device__ __forceinline__ void sum_pixels(const T* x, T* sums, unsigned pixels) {
    SHARED(float, scratch, [32]);
    x += (unsigned long long)blockIdx.x * pixels;
    float sum = 0.0f;
    for (unsigned i = threadIdx.x; i < pixels; i += blockDim.x) sum += to_float(x[i]);
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) sums[blockIdx.x] = from_float<T>(sum);
}

__device__ __forceinline__ float softplus_of(float x) {
    const float rest = log1pf(expf(-fabsf(x)));
    // The comparison is false for NaN, which `rest` propagates.
    return 0.0f < x ? x + rest : rest;
}

#define MAP(T, suffix, name, formula)                                                              \
    extern "C" __global__ void name##_##suffix(const T* x, T* y, unsigned long long count) {       \
        map<T>(x, y, count, [](float x) { return formula; });                                      \
    }
#define ZIP(T, suffix, name, formula)                                                              \
    extern "C" __global__ void name##_##suffix(const T* x, const T* y, T* z,                       \
                                               unsigned long long count) {                         \
        zip<T>(x, y, z, count, [](float x, float y) { return formula; });                          \
    }

#define KERNELS(T, suffix)                                                                         \
    MAP(T, suffix, silu, x* sigmoid_of(x))                                                         \
    MAP(T, suffix, sigmoid, sigmoid_of(x))                                                         \
    MAP(T, suffix, softplus, softplus_of(x))                                                       \
    ZIP(T, suffix, through_silu, y* silu_derivative(x, sigmoid_of(x)))                             \
    ZIP(T, suffix, through_sigmoid, y* x * (1.0f - x))                                             \
    ZIP(T, suffix, through_softplus, y* sigmoid_of(x))                                             \
    extern "C" __global__ void add_scaled_##suffix(const T* a, const T* b, T* y,                   \
                                                   unsigned long long count, float scale) {        \
        zip<T>(a, b, y, count, [=](float a, float b) { return (a + b) * scale; });                 \
    }                                                                                              \
    extern "C" __global__ void scaled_##suffix(const T* x, T* y, unsigned long long count,         \
                                               float scale) {                                      \
        map<T>(x, y, count, [=](float x) { return x * scale; });                                   \
    }                                                                                              \
    extern "C" __global__ void add_channels_##suffix(const T* x, const T* c, T* y,                 \
                                                     unsigned long long count, unsigned pixels) {  \
        add_channels<T>(x, c, y, count, pixels);                                                   \
    }                                                                                              \
    extern "C" __global__ void sum_pixels_##suffix(const T* x, T* sums, unsigned pixels) {         \
        sum_pixels<T>(x, sums, pixels);                                                            \
    }

FOR_EACH_TYPE(KERNELS)
