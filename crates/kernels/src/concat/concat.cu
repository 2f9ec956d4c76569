// Concatenation and splitting of images along their channels: rows of `a` and `b` elements, and
// rows of both.
#include "../gpu/prelude.cuh"

template <typename T>
__device__ __forceinline__ void join(const T* a, const T* b, T* y, unsigned long long rows,
                                     unsigned a_width, unsigned b_width) {
    const unsigned width = a_width + b_width;
    FOR_EACH_ELEMENT(i, rows * width) {
        const unsigned long long row = i / width;
        const unsigned column = i % width;
        y[i] = column < a_width ? a[row * a_width + column] : b[row * b_width + column - a_width];
    }
}

// part[row, i] = y[row, start + i].
template <typename T>
__device__ __forceinline__ void take(const T* y, T* part, unsigned long long rows, unsigned width,
                                     unsigned start, unsigned part_width) {
    FOR_EACH_ELEMENT(i, rows * part_width)
        part[i] = y[i / part_width * width + start + i % part_width];
}

#define KERNELS(T, suffix)                                                                         \
    extern "C" __global__ void concat_##suffix(const T* a, const T* b, T* y,                       \
                                               unsigned long long rows, unsigned a_width,          \
                                               unsigned b_width) {                                 \
        join<T>(a, b, y, rows, a_width, b_width);                                                  \
    }                                                                                              \
    extern "C" __global__ void concat_part_##suffix(const T* y, T* part, unsigned long long rows,  \
                                                    unsigned width, unsigned start,                \
                                                    unsigned part_width) {                         \
        take<T>(y, part, rows, width, start, part_width);                                          \
    }

FOR_EACH_TYPE(KERNELS)
