// Resampling by two: along an axis, small[i] = sum over u of taps[u] large[2 i + u - padding].
//
// The first `length` of the four taps are used. One thread per element of the output.
#include "../gpu/prelude.cuh"

struct Plan {
    unsigned height, width;             // size of the large image
    unsigned small_height, small_width; // size of the small image
    unsigned length, padding;
    float taps[4];
};

// From the large images to the small ones.
template <typename T>
__device__ __forceinline__ void reduce(const T* large, T* small, unsigned long long count,
                                       const Plan& plan) {
    FOR_EACH_ELEMENT(at, count) {
        const unsigned column = at % plan.small_width;
        const unsigned row = at / plan.small_width % plan.small_height;
        const T* image =
            large + at / plan.small_width / plan.small_height * plan.height * plan.width;
        float sum = 0.0f;
        for (unsigned u = 0; u < plan.length; u++) {
            const unsigned i = 2 * row + u - plan.padding; // wraps around above the image
            if (i >= plan.height) continue;
            float row_sum = 0.0f;
            for (unsigned v = 0; v < plan.length; v++) {
                const unsigned j = 2 * column + v - plan.padding;
                if (j < plan.width) row_sum += plan.taps[v] * to_float(image[i * plan.width + j]);
            }
            sum += plan.taps[u] * row_sum;
        }
        small[at] = from_float<T>(sum);
    }
}

// The transpose: from the small images to the large ones.
template <typename T>
__device__ __forceinline__ void spread(const T* small, T* large, unsigned long long count,
                                       const Plan& plan) {
    FOR_EACH_ELEMENT(at, count) {
        const unsigned column = at % plan.width + plan.padding;
        const unsigned row = at / plan.width % plan.height + plan.padding;
        const T* image =
            small + at / plan.width / plan.height * plan.small_height * plan.small_width;
        float sum = 0.0f;
        for (unsigned u = row % 2; u < plan.length && u <= row; u += 2) {
            const unsigned i = (row - u) / 2;
            if (i >= plan.small_height) continue;
            float row_sum = 0.0f;
            for (unsigned v = column % 2; v < plan.length && v <= column; v += 2) {
                const unsigned j = (column - v) / 2;
                if (j < plan.small_width)
                    row_sum += plan.taps[v] * to_float(image[i * plan.small_width + j]);
            }
            sum += plan.taps[u] * row_sum;
        }
        large[at] = from_float<T>(sum);
    }
}

#define KERNELS(T, suffix)                                                                         \
    extern "C" __global__ void resample_down_##suffix(                                             \
        const T* large, T* small, unsigned long long count, unsigned height, unsigned width,       \
        unsigned small_height, unsigned small_width, unsigned length, unsigned padding, float a,   \
        float b, float c, float d) {                                                               \
        reduce<T>(large, small, count,                                                             \
                  Plan{height, width, small_height, small_width, length, padding, {a, b, c, d}});  \
    }                                                                                              \
    extern "C" __global__ void resample_up_##suffix(                                               \
        const T* small, T* large, unsigned long long count, unsigned height, unsigned width,       \
        unsigned small_height, unsigned small_width, unsigned length, unsigned padding, float a,   \
        float b, float c, float d) {                                                               \
        spread<T>(small, large, count,                                                             \
                  Plan{height, width, small_height, small_width, length, padding, {a, b, c, d}});  \
    }

FOR_EACH_TYPE(KERNELS)
