// Group normalization with an activation: y = act(weight · x̂ + bias), x̂ = (x - mean) · inverse.
//
// One block per group of a sample. Weight and bias are [C], or [B, C] if `per_sample`.
#include "../gpu/prelude.cuh"

// Position of a block's group.
struct Group {
    unsigned long long first; // offset of its first element in x
    unsigned channels, pixels, weights;

    __device__ __forceinline__ Group(unsigned all_channels, unsigned groups, unsigned pixels_,
                                     unsigned per_sample)
        : channels(all_channels / groups), pixels(pixels_) {
        first = (unsigned long long)blockIdx.x * channels * pixels;
        weights = (per_sample ? blockIdx.x : blockIdx.x % groups) * channels;
    }
    __device__ __forceinline__ unsigned size() const { return channels * pixels; }
};

struct Moments {
    float mean, inverse;
};

// Mean and 1 / sqrt(var + eps); the variance is computed from distances to the mean in a second
// pass.
template <typename T>
__device__ __forceinline__ Moments moments_of(const T* x, unsigned size, float eps,
                                              float* scratch) {
    float sum = 0.0f;
    for (unsigned i = threadIdx.x; i < size; i += blockDim.x) sum += to_float(x[i]);
    const float mean = block_sum(sum, scratch) / (float)size;
    float squares = 0.0f;
    for (unsigned i = threadIdx.x; i < size; i += blockDim.x) {
        const float distance = to_float(x[i]) - mean;
        squares += distance * distance;
    }
    const float variance = block_sum(squares, scratch) / (float)size;
    return Moments{mean, 1.0f / sqrtf(variance + eps)};
}

template <typename T>
__device__ __forceinline__ void forward(const T* x, const T* weight, const T* bias, T* y,
                                        const Group& group, unsigned silu, float eps) {
    SHARED(float, scratch, [32]);
    x += group.first;
    y += group.first;
    const Moments moments = moments_of(x, group.size(), eps, scratch);
    for (unsigned i = threadIdx.x; i < group.size(); i += blockDim.x) {
        const unsigned channel = group.weights + i / group.pixels;
        const float normal = (to_float(x[i]) - moments.mean) * moments.inverse;
        const float z = normal * to_float(weight[channel]) + to_float(bias[channel]);
        y[i] = from_float<T>(silu ? z * sigmoid_of(z) : z);
    }
}

// The gradient with respect to weight · x̂ + bias.
__device__ __forceinline__ float through_activation(float grad, float normal, float weight,
                                                    float bias, unsigned silu) {
    if (!silu) return grad;
    const float z = normal * weight + bias;
    return grad * silu_derivative(z, sigmoid_of(z));
}

// With d the gradient with respect to weight · x̂ + bias:
//
//   grad_bias = sum of d,   grad_weight = sum of d x̂   (over a channel's pixels, [B, C] in f32)
//   grad_x = (weight d - mean(weight d) - x̂ mean(weight d x̂)) · inverse   (means over the group)
//
// A warp sums a channel.
template <typename T>
__device__ __forceinline__ void backward(const T* x, const T* weight, const T* bias, const T* grad,
                                         T* grad_x, float* grad_weight, float* grad_bias,
                                         const Group& group, unsigned silu, float eps) {
    SHARED(float, scratch, [32]);
    x += group.first;
    grad += group.first;
    grad_x += group.first;
    weight += group.weights;
    bias += group.weights;
    const Moments moments = moments_of(x, group.size(), eps, scratch);
    const unsigned lane = threadIdx.x % 32, warps = blockDim.x / 32;
    float total = 0.0f, total_normal = 0.0f;
    for (unsigned channel = threadIdx.x / 32; channel < group.channels; channel += warps) {
        const float scale = to_float(weight[channel]), shift = to_float(bias[channel]);
        float sum = 0.0f, sum_normal = 0.0f;
        for (unsigned i = lane; i < group.pixels; i += 32) {
            const unsigned at = channel * group.pixels + i;
            const float normal = (to_float(x[at]) - moments.mean) * moments.inverse;
            const float d = through_activation(to_float(grad[at]), normal, scale, shift, silu);
            sum += d;
            sum_normal += d * normal;
        }
        sum = warp_sum(sum);
        sum_normal = warp_sum(sum_normal);
        if (lane == 0) {
            grad_bias[blockIdx.x * group.channels + channel] = sum;
            grad_weight[blockIdx.x * group.channels + channel] = sum_normal;
            total += sum * scale;
            total_normal += sum_normal * scale;
        }
    }
    const float mean = block_sum(total, scratch) / (float)group.size();
    const float mean_normal = block_sum(total_normal, scratch) / (float)group.size();
    for (unsigned i = threadIdx.x; i < group.size(); i += blockDim.x) {
        const unsigned channel = i / group.pixels;
        const float scale = to_float(weight[channel]), shift = to_float(bias[channel]);
        const float normal = (to_float(x[i]) - moments.mean) * moments.inverse;
        const float d = through_activation(to_float(grad[i]), normal, scale, shift, silu);
        grad_x[i] = from_float<T>((scale * d - mean - normal * mean_normal) * moments.inverse);
    }
}

// sums[i] = the sum over `batch` rows of rows[row, i].
template <typename T>
__device__ __forceinline__ void sum_rows(const float* rows, T* sums, unsigned batch,
                                         unsigned width) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= width) return;
    float sum = 0.0f;
    for (unsigned row = 0; row < batch; row++) sum += rows[(unsigned long long)row * width + i];
    sums[i] = from_float<T>(sum);
}

#define KERNELS(T, suffix)                                                                         \
    extern "C" __global__ void group_norm_##suffix(const T* x, const T* weight, const T* bias,     \
                                                   T* y, unsigned channels, unsigned groups,       \
                                                   unsigned pixels, unsigned per_sample,           \
                                                   unsigned silu, float eps) {                     \
        forward<T>(x, weight, bias, y, Group(channels, groups, pixels, per_sample), silu, eps);    \
    }                                                                                              \
    extern "C" __global__ void group_norm_backward_##suffix(                                       \
        const T* x, const T* weight, const T* bias, const T* grad, T* grad_x, float* grad_weight,      \
        float* grad_bias, unsigned channels, unsigned groups, unsigned pixels, unsigned per_sample,  \
        unsigned silu, float eps) {                                                                \
        backward<T>(x, weight, bias, grad, grad_x, grad_weight, grad_bias,                               \
                    Group(channels, groups, pixels, per_sample), silu, eps);                       \
    }                                                                                              \
    extern "C" __global__ void group_norm_sums_##suffix(const float* rows, T* sums,                \
                                                        unsigned batch, unsigned width) {          \
        sum_rows<T>(rows, sums, batch, width);                                                     \
    }

FOR_EACH_TYPE(KERNELS)
