// Dropout: an element is kept if its uniform number is at least p, and then multiplied by `factor`.
// The backward pass recomputes the mask. One thread per block of four elements.
#include "../noise/philox.cuh"

template <typename T>
__device__ __forceinline__ void drop(const T* x, T* y, unsigned long long rows, unsigned width,
                                     unsigned long long seed, unsigned stream,
                                     unsigned long long start, float p, float factor) {
    const unsigned blocks = (width + 3) / 4;
    FOR_EACH_ELEMENT(i, rows * blocks) {
        const unsigned long long row = i / blocks;
        const unsigned block = i % blocks;
        const Words words = philox(seed, stream, start + row, block);
        for (unsigned j = 0; j < 4 && block * 4 + j < width; j++) {
            const unsigned long long at = row * width + block * 4 + j;
            // A product, which propagates NaN.
            y[at] = from_float<T>(to_float(x[at]) * (uniform_of(words.of[j]) >= p ? factor : 0.0f));
        }
    }
}

#define KERNELS(T, suffix)                                                                         \
    extern "C" __global__ void dropout_##suffix(                                                   \
        const T* x, T* y, unsigned long long rows, unsigned width, unsigned long long seed,        \
        unsigned stream, unsigned long long start, float p, float factor) {                        \
        drop<T>(x, y, rows, width, seed, stream, start, p, factor);                                \
    }

FOR_EACH_TYPE(KERNELS)
