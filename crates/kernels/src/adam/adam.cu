// Adam and the moving average, in place.
#include "../gpu/prelude.cuh"

// x <- keep x + add y, or y² for y if `squared`.
template <typename T>
__device__ __forceinline__ void average(T* x, const T* y, unsigned long long count, float keep,
                                        float add, unsigned squared) {
    FOR_EACH_ELEMENT(i, count) {
        const float number = to_float(y[i]);
        const float term = add * (squared ? number * number : number);
        x[i] = from_float<T>(to_float(x[i]) * keep + term);
    }
}

// param <- keep param - rate m / (sqrt(v scale) + eps).
template <typename T>
__device__ __forceinline__ void update(T* param, const T* m, const T* v, unsigned long long count,
                                       float keep, float rate, float scale, float eps) {
    FOR_EACH_ELEMENT(i, count) {
        const float change = rate * to_float(m[i]) / (sqrtf(to_float(v[i]) * scale) + eps);
        param[i] = from_float<T>(to_float(param[i]) * keep - change);
    }
}

#define KERNELS(T, suffix)                                                                         \
    extern "C" __global__ void average_##suffix(T* x, const T* y, unsigned long long count,        \
                                                float keep, float add, unsigned squared) {         \
        average<T>(x, y, count, keep, add, squared);                                               \
    }                                                                                              \
    extern "C" __global__ void adam_##suffix(T* param, const T* m, const T* v,                     \
                                             unsigned long long count, float keep, float rate,     \
                                             float scale, float eps) {                             \
        update<T>(param, m, v, count, keep, rate, scale, eps);                                     \
    }

FOR_EACH_TYPE(KERNELS)
