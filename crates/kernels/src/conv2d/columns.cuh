// Images unrolled into the columns of a matrix. A convolution is then one product, which cuBLAS computes on
// tensor cores.
#pragma once
#include "../gpu/prelude.cuh"

// Row (c, tap) of the columns of image b starts at (c · taps + tap) · row_stride + b · image_stride. For
// every pixel, it has the element of channel c that the tap reads, or zero outside the image. A thread
// copies all taps.
template <typename T>
__device__ __forceinline__ void fill_columns(const T* x, T* columns, unsigned channels,
                                             unsigned height, unsigned width, unsigned batch,
                                             unsigned kernel, unsigned long long row_stride,
                                             unsigned long long image_stride) {
    const unsigned pixels = height * width;
    const int half = kernel / 2;
    FOR_EACH_ELEMENT(i, (unsigned long long)channels * batch * pixels) {
        const unsigned pixel = i % pixels, image = i / pixels % batch;
        const unsigned channel = i / pixels / batch;
        const int row = pixel / width, column = pixel % width;
        const T* source = x + ((unsigned long long)image * channels + channel) * pixels;
        T* target = columns + (unsigned long long)channel * kernel * kernel * row_stride +
                    image * image_stride + pixel;
        for (unsigned tap = 0; tap < kernel * kernel; tap++) {
            const int u = row + (int)(tap / kernel) - half, v = column + (int)(tap % kernel) - half;
            const bool inside = u >= 0 && u < (int)height && v >= 0 && v < (int)width;
            target[tap * row_stride] = inside ? source[u * (int)width + v] : from_float<T>(0.0f);
        }
    }
}

// rotated[c, o · taps + tap] = weight[o, c, taps − 1 − tap]: the weight of the convolution that computes
// the gradient with respect to the input.
template <typename T>
__device__ __forceinline__ void rotate(const T* weight, T* rotated, unsigned outputs,
                                       unsigned channels, unsigned taps) {
    FOR_EACH_ELEMENT(i, (unsigned long long)outputs * channels * taps) {
        const unsigned tap = i % taps, output = i / taps % outputs, channel = i / taps / outputs;
        rotated[i] =
            weight[((unsigned long long)output * channels + channel) * taps + taps - 1 - tap];
    }
}

// y[b, o, p] += bias[o], in place.
template <typename T>
__device__ __forceinline__ void add_bias(const T* bias, T* y, unsigned outputs, unsigned pixels,
                                         unsigned batch) {
    FOR_EACH_ELEMENT(i, (unsigned long long)batch * outputs * pixels)
        y[i] = from_float<T>(to_float(y[i]) + to_float(bias[i / pixels % outputs]));
}

#define COLUMNS(T, suffix)                                                                         \
    extern "C" __global__ void conv2d_columns_##suffix(                                            \
        const T* x, T* columns, unsigned channels, unsigned height, unsigned width,                \
        unsigned batch, unsigned kernel, unsigned long long row_stride,                            \
        unsigned long long image_stride) {                                                         \
        fill_columns<T>(x, columns, channels, height, width, batch, kernel, row_stride,            \
                        image_stride);                                                             \
    }                                                                                              \
    extern "C" __global__ void conv2d_rotate_##suffix(                                             \
        const T* weight, T* rotated, unsigned outputs, unsigned channels, unsigned taps) {         \
        rotate<T>(weight, rotated, outputs, channels, taps);                                       \
    }                                                                                              \
    extern "C" __global__ void conv2d_add_bias_##suffix(const T* bias, T* y, unsigned outputs,     \
                                                        unsigned pixels, unsigned batch) {         \
        add_bias<T>(bias, y, outputs, pixels, batch);                                              \
    }
