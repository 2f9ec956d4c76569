// Convolution with an odd square kernel, stride 1 and padding that keeps the size, as a matrix product:
// for every tap, the weight [O, C] times the image shifted by the tap, [C, pixels].
//
// Pixels are numbered through the whole batch: P = B H W.
#include "../gpu/tile.cuh"
#include "columns.cuh"

// Sizes of a batch of images and of the kernel.
struct Images {
    unsigned channels, height, width, batch, kernel;
    __device__ __forceinline__ unsigned pixels() const { return height * width; }
};

// Position of a pixel of the batch.
struct Pixel {
    int row, column;
    unsigned image, within;
    bool exists;

    __device__ __forceinline__ Pixel(unsigned index, const Images& images)
        : exists(index < images.batch * images.pixels()) {
        image = index / images.pixels();
        within = index % images.pixels();
        row = within / images.width;
        column = within % images.width;
    }
    // Position in a channel of the element that the tap reads, or -1 outside the image.
    __device__ __forceinline__ int at(unsigned tap, const Images& images) const {
        const int half = images.kernel / 2;
        const int i = row + (int)(tap / images.kernel) - half;
        const int j = column + (int)(tap % images.kernel) - half;
        const bool inside = exists && i >= 0 && i < (int)images.height && j >= 0 &&
                            j < (int)images.width;
        return inside ? i * (int)images.width + j : -1;
    }
};

// Copies the weight in the order of the product: packed[tap, channel, output], with outputs padded by zeros
// to `stride`, a multiple of four. Weight (output, channel, tap) is at output · output_stride +
// channel · channel_stride + tap, with taps in reverse order if `rotated`.
template <typename T>
__device__ __forceinline__ void pack(const T* weight, float* packed, unsigned outputs,
                                     unsigned channels, unsigned taps, unsigned output_stride,
                                     unsigned channel_stride, unsigned rotated, unsigned stride) {
    FOR_EACH_ELEMENT(i, (unsigned long long)taps * channels * stride) {
        const unsigned output = i % stride, channel = i / stride % channels;
        const unsigned tap = i / stride / channels, source = rotated ? taps - 1 - tap : tap;
        const unsigned long long at = (unsigned long long)output * output_stride +
                                      (unsigned long long)channel * channel_stride + source;
        packed[i] = output < outputs ? to_float(weight[at]) : 0.0f;
    }
}

// y[b, o, p] = bias[o] + sum over taps and channels. One block per tile of outputs and pixels.
template <typename T, int SIDE>
__device__ __forceinline__ void convolve(const T* x, const float* packed, const T* bias, T* y,
                                         const Images& images, unsigned outputs, unsigned stride) {
    using Product = Tile<SIDE>;
    constexpr int DEPTH = Product::DEPTH;
    constexpr unsigned ROWS = TILE_THREADS / SIDE; // channels that are loaded at a time
    SHARED(float, weights, [2][DEPTH][Product::STRIDE]);
    SHARED(float, values, [2][DEPTH][Product::STRIDE]);
    const unsigned pixels = images.pixels(), taps = images.kernel * images.kernel;
    const unsigned first_output = blockIdx.y * SIDE, first_pixel = blockIdx.x * SIDE;
    const unsigned chunks = (images.channels + DEPTH - 1) / DEPTH, steps = taps * chunks;

    // This thread loads four outputs of one channel, and four channels of one pixel.
    const unsigned weight_row = threadIdx.x * 4 / SIDE, weight_column = threadIdx.x * 4 % SIDE;
    const unsigned value_row = threadIdx.x / SIDE, value_column = threadIdx.x % SIDE;
    const Pixel pixel(first_pixel + value_column, images);
    const T* image = x + (unsigned long long)pixel.image * images.channels * pixels;
    Four<float> weight;
    float value[4];

    const auto load = [&](unsigned step) {
        const unsigned tap = step / chunks, channel = step % chunks * DEPTH;
        const int at = pixel.at(tap, images);
        const unsigned row = channel + weight_row, column = first_output + weight_column;
        const bool inside = row < images.channels && column < stride;
        const Four<float> zeros = {{0.0f, 0.0f, 0.0f, 0.0f}};
        const unsigned long long place =
            ((unsigned long long)tap * images.channels + row) * stride + column;
        weight = inside ? *reinterpret_cast<const Four<float>*>(packed + place) : zeros;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const unsigned source = channel + value_row + ROWS * i;
            const bool exists = at >= 0 && source < images.channels;
            value[i] = exists ? to_float(image[source * pixels + at]) : 0.0f;
        }
    };
    const auto store = [&](unsigned half) {
        *reinterpret_cast<Four<float>*>(&weights[half][weight_row][weight_column]) = weight;
#pragma unroll
        for (int i = 0; i < 4; i++) values[half][value_row + ROWS * i][value_column] = value[i];
    };

    Product product;
    product.clear();
    load(0);
    store(0);
    __syncthreads();
    for (unsigned step = 0; step < steps; step++) {
        if (step + 1 < steps) load(step + 1);
        product.add(weights[step % 2], values[step % 2]);
        // The other half was last read before the barrier of the previous step.
        if (step + 1 < steps) store((step + 1) % 2);
        __syncthreads();
    }

#pragma unroll
    for (int h = 0; h < Product::GROUPS; h++) {
        const unsigned index = first_pixel + Product::column(h, 0);
        if (index >= images.batch * pixels) continue;
#pragma unroll
        for (int g = 0; g < Product::GROUPS; g++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const unsigned output = first_output + Product::row(g, i);
                if (output >= outputs) continue;
                const float add = bias ? to_float(bias[output]) : 0.0f;
                if (pixels % 4 == 0) {
                    Four<T> four;
#pragma unroll
                    for (int j = 0; j < 4; j++)
                        four.of[j] = from_float<T>(product.sums[g][h][i][j] + add);
                    const unsigned long long channel =
                        (unsigned long long)(index / pixels) * outputs + output;
                    *reinterpret_cast<Four<T>*>(y + channel * pixels + index % pixels) = four;
                    continue;
                }
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    const unsigned at = index + j;
                    if (at >= images.batch * pixels) continue;
                    const unsigned long long channel =
                        (unsigned long long)(at / pixels) * outputs + output;
                    y[channel * pixels + at % pixels] =
                        from_float<T>(product.sums[g][h][i][j] + add);
                }
            }
    }
}

// partial[split, tap, o, c] = sum over some pixels p of grad[o, p] x[c, p + tap]. blockIdx.z is the split
// and the tap.
template <typename T, int SIDE>
__device__ __forceinline__ void correlate(const T* x, const T* grad, float* partial,
                                          const Images& images, unsigned outputs,
                                          unsigned splits) {
    using Product = Tile<SIDE>;
    constexpr int DEPTH = Product::DEPTH;
    constexpr unsigned ROWS = TILE_THREADS / DEPTH; // channels that are loaded at a time
    SHARED(float, grads, [2][DEPTH][Product::STRIDE]);
    SHARED(float, values, [2][DEPTH][Product::STRIDE]);
    const unsigned pixels = images.pixels(), taps = images.kernel * images.kernel;
    const unsigned first_output = blockIdx.y * SIDE, first_channel = blockIdx.x * SIDE;
    const unsigned tap = blockIdx.z % taps, split = blockIdx.z / taps;
    const unsigned chunks = (images.batch * pixels + DEPTH - 1) / DEPTH;
    const unsigned share = (chunks + splits - 1) / splits;
    const unsigned begin = min(split * share, chunks), end = min(begin + share, chunks);

    // This thread loads four channels of one pixel, of each operand.
    const unsigned depth = threadIdx.x % DEPTH, row = threadIdx.x / DEPTH;
    float grad_of[4], value[4];
    const auto load = [&](unsigned chunk) {
        const Pixel pixel(chunk * DEPTH + depth, images);
        const int at = pixel.at(tap, images);
        const T* from = grad + (unsigned long long)pixel.image * outputs * pixels + pixel.within;
        const T* image = x + (unsigned long long)pixel.image * images.channels * pixels;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const unsigned output = first_output + row + ROWS * i;
            const unsigned channel = first_channel + row + ROWS * i;
            const bool has_grad = pixel.exists && output < outputs;
            const bool has_value = at >= 0 && channel < images.channels;
            grad_of[i] = has_grad ? to_float(from[output * pixels]) : 0.0f;
            value[i] = has_value ? to_float(image[channel * pixels + at]) : 0.0f;
        }
    };
    const auto store = [&](unsigned half) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            grads[half][depth][row + ROWS * i] = grad_of[i];
            values[half][depth][row + ROWS * i] = value[i];
        }
    };

    Product product;
    product.clear();
    if (begin < end) {
        load(begin);
        store(0);
    }
    __syncthreads();
    for (unsigned chunk = begin; chunk < end; chunk++) {
        const unsigned half = (chunk - begin) % 2;
        if (chunk + 1 < end) load(chunk + 1);
        product.add(grads[half], values[half]);
        if (chunk + 1 < end) store(1 - half);
        __syncthreads();
    }

    float* sums = partial + (unsigned long long)blockIdx.z * outputs * images.channels;
#pragma unroll
    for (int g = 0; g < Product::GROUPS; g++)
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int h = 0; h < Product::GROUPS; h++)
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    const unsigned output = first_output + Product::row(g, i);
                    const unsigned channel = first_channel + Product::column(h, j);
                    if (output < outputs && channel < images.channels)
                        sums[(unsigned long long)output * images.channels + channel] =
                            product.sums[g][h][i][j];
                }
}

// grad_weight[o, c, tap] = sum of the splits, in their order.
template <typename T>
__device__ __forceinline__ void sum_splits(const float* partial, T* grad_weight, unsigned matrix,
                                           unsigned taps, unsigned splits) {
    FOR_EACH_ELEMENT(i, (unsigned long long)taps * matrix) {
        const unsigned long long at = i % matrix, tap = i / matrix;
        float sum = 0.0f;
        for (unsigned split = 0; split < splits; split++)
            sum += partial[((unsigned long long)split * taps + tap) * matrix + at];
        grad_weight[at * taps + tap] = from_float<T>(sum);
    }
}

// sums[o] = sum of grad[b, o, p] over images and pixels. One block per channel.
template <typename T>
__device__ __forceinline__ void sum_channels(const T* grad, T* sums, unsigned outputs,
                                             unsigned pixels, unsigned batch) {
    SHARED(float, scratch, [32]);
    float sum = 0.0f;
    for (unsigned image = 0; image < batch; image++) {
        const T* channel = grad + ((unsigned long long)image * outputs + blockIdx.x) * pixels;
        for (unsigned i = threadIdx.x; i < pixels; i += blockDim.x) sum += to_float(channel[i]);
    }
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) sums[blockIdx.x] = from_float<T>(sum);
}

// Side of a tile of the gradient with respect to the weight, as in `gpu/cuda.rs`.
constexpr int WEIGHT_SIDE = 64;

#define CONVOLUTION(T, suffix, side)                                                               \
    extern "C" __global__ void __launch_bounds__(TILE_THREADS) conv2d_##side##_##suffix(           \
        const T* x, const float* packed, const T* bias, T* y, unsigned channels, unsigned height,  \
        unsigned width, unsigned batch, unsigned kernel, unsigned outputs, unsigned stride) {      \
        convolve<T, side>(x, packed, bias, y, Images{channels, height, width, batch, kernel},      \
                          outputs, stride);                                                        \
    }

#define KERNELS(T, suffix)                                                                         \
    CONVOLUTION(T, suffix, 64)                                                                     \
    CONVOLUTION(T, suffix, 128)                                                                    \
    extern "C" __global__ void __launch_bounds__(TILE_THREADS) conv2d_weight_##suffix(             \
        const T* x, const T* grad, float* partial, unsigned channels, unsigned height,             \
        unsigned width, unsigned batch, unsigned kernel, unsigned outputs, unsigned splits) {      \
        correlate<T, WEIGHT_SIDE>(x, grad, partial,                                                \
                                  Images{channels, height, width, batch, kernel}, outputs,         \
                                  splits);                                                         \
    }                                                                                              \
    extern "C" __global__ void conv2d_pack_##suffix(                                               \
        const T* weight, float* packed, unsigned outputs, unsigned channels, unsigned taps,        \
        unsigned output_stride, unsigned channel_stride, unsigned rotated, unsigned stride) {      \
        pack<T>(weight, packed, outputs, channels, taps, output_stride, channel_stride, rotated,   \
                stride);                                                                           \
    }                                                                                              \
    extern "C" __global__ void conv2d_splits_##suffix(const float* partial, T* grad_weight,        \
                                                      unsigned matrix, unsigned taps,              \
                                                      unsigned splits) {                           \
        sum_splits<T>(partial, grad_weight, matrix, taps, splits);                                 \
    }                                                                                              \
    extern "C" __global__ void conv2d_bias_##suffix(const T* grad, T* sums, unsigned outputs,      \
                                                    unsigned pixels, unsigned batch) {             \
        sum_channels<T>(grad, sums, outputs, pixels, batch);                                       \
    }

FOR_EACH_TYPE(KERNELS)
FOR_EACH_TYPE(COLUMNS)
