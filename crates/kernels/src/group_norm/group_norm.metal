// Group normalization: activation(weight · x̂ + bias) with x̂ = (x − mean) / √(var + eps).
//
// x: [B, C, P]; weight and bias: [C], or [B, C] with one pair per sample. One threadgroup
// per group of a sample; its elements are contiguous.

struct NormSizes {
    uint channels; // C
    uint pixels;   // P
    uint groups;
    uint per_sample; // 1 if weight and bias are [B, C]
    uint silu;       // 1 if the activation is SiLU, 0 for none
    float eps;
};

// Offset of the weights of group `index` of the batch.
static inline uint weights_of(constant NormSizes& sizes, uint index) {
    const uint group = sizes.per_sample != 0 ? index : index % sizes.groups;
    return group * (sizes.channels / sizes.groups);
}

// Writes y, and mean and 1 / √(var + eps) of each group to moments: [B · groups, 2].
template <typename T>
static inline void group_norm_forward(
    device const T* x, device const T* weight, device const T* bias, device T* y,
    device float* moments, constant NormSizes& sizes, threadgroup float* shared, uint index, Place place) {
    const uint length = sizes.channels / sizes.groups * sizes.pixels;
    const uint first = weights_of(sizes, index);
    x += index * length;
    y += index * length;
    float sum = 0.0f;
    for (uint i = place.thread_index; i < length; i += place.threads) sum += float(x[i]);
    const float mean = block_sum(sum, shared, place) / float(length);
    sum = 0.0f;
    for (uint i = place.thread_index; i < length; i += place.threads) {
        const float distance = float(x[i]) - mean;
        sum += distance * distance;
    }
    const float variance = block_sum(sum, shared, place) / float(length);
    const float inverse = 1.0f / sqrt(variance + sizes.eps);
    for (uint i = place.thread_index; i < length; i += place.threads) {
        const uint channel = first + i / sizes.pixels;
        const float z = (float(x[i]) - mean) * inverse * float(weight[channel]) + float(bias[channel]);
        y[i] = T(sizes.silu != 0 ? z * sigmoid_of(z) : z);
    }
    if (place.thread_index == 0) {
        moments[2 * index] = mean;
        moments[2 * index + 1] = inverse;
    }
}

// The gradient with respect to z = weight · x̂ + bias, from the gradient with respect to its
// activation.
static inline float through_activation(float z, float grad, uint silu) {
    return silu != 0 ? grad * silu_derivative(z, sigmoid_of(z)) : grad;
}

// With d the gradient with respect to weight · x̂ + bias:
//
//   grad_bias = Σ d,  grad_weight = Σ d x̂                                       (pixels of a channel)
//   grad_x = (weight d − mean(weight d) − x̂ · mean(weight d x̂)) / √(var + eps)   (means over a group)
//
// grad_weight and grad_bias: [B, C]. Each SIMD-group processes one channel at a time.
template <typename T>
static inline void group_norm_backward(
    device const T* x, device const T* weight, device const T* bias, device const T* grad,
    device const float* moments, device T* grad_x, device float* grad_weight, device float* grad_bias,
    constant NormSizes& sizes, threadgroup float* shared, uint index, Place place) {
    const uint channels = sizes.channels / sizes.groups;
    const uint length = channels * sizes.pixels;
    const uint first = weights_of(sizes, index);
    const float mean = moments[2 * index];
    const float inverse = moments[2 * index + 1];
    const uint width = (place.threads + place.simds - 1) / place.simds;
    x += index * length;
    grad += index * length;
    grad_x += index * length;
    float sum = 0.0f, sum_normal = 0.0f;
    for (uint channel = place.simd; channel < channels; channel += place.simds) {
        const float scale = float(weight[first + channel]), shift = float(bias[first + channel]);
        float d_sum = 0.0f, d_normal_sum = 0.0f;
        for (uint pixel = place.lane; pixel < sizes.pixels; pixel += width) {
            const uint i = channel * sizes.pixels + pixel;
            const float normal = (float(x[i]) - mean) * inverse;
            const float d = through_activation(normal * scale + shift, float(grad[i]), sizes.silu);
            d_sum += d;
            d_normal_sum += d * normal;
        }
        d_sum = simd_sum(d_sum);
        d_normal_sum = simd_sum(d_normal_sum);
        if (place.lane == 0) {
            grad_bias[index * channels + channel] = d_sum;
            grad_weight[index * channels + channel] = d_normal_sum;
            sum += d_sum * scale;
            sum_normal += d_normal_sum * scale;
        }
    }
    const float mean_d = block_sum(sum, shared, place) / float(length);
    const float mean_normal = block_sum(sum_normal, shared, place) / float(length);
    for (uint i = place.thread_index; i < length; i += place.threads) {
        const uint channel = first + i / sizes.pixels;
        const float scale = float(weight[channel]);
        const float normal = (float(x[i]) - mean) * inverse;
        const float z = normal * scale + float(bias[channel]);
        const float d = through_activation(z, float(grad[i]), sizes.silu);
        grad_x[i] = T((scale * d - mean_d - normal * mean_normal) * inverse);
    }
}

#define GROUP_NORM(T, SUFFIX)                                                                      \
    kernel void group_norm_##SUFFIX(                                                               \
        device const T* x [[buffer(0)]], device const T* weight [[buffer(1)]],                     \
        device const T* bias [[buffer(2)]], device T* y [[buffer(3)]],                             \
        device float* moments [[buffer(4)]], constant NormSizes& sizes [[buffer(5)]],              \
        threadgroup float* shared [[threadgroup(0)]],                                              \
        uint index [[threadgroup_position_in_grid]], PLACE) {                                      \
        group_norm_forward<T>(x, weight, bias, y, moments, sizes, shared, index, HERE);            \
    }
FOR_EACH_TYPE(GROUP_NORM)

#define THROUGH_GROUP_NORM(T, SUFFIX)                                                              \
    kernel void through_group_norm_##SUFFIX(                                                       \
        device const T* x [[buffer(0)]], device const T* weight [[buffer(1)]],                     \
        device const T* bias [[buffer(2)]], device const T* grad [[buffer(3)]],                    \
        device const float* moments [[buffer(4)]], device T* grad_x [[buffer(5)]],                   \
        device float* grad_weight [[buffer(6)]], device float* grad_bias [[buffer(7)]],                \
        constant NormSizes& sizes [[buffer(8)]], threadgroup float* shared [[threadgroup(0)]],     \
        uint index [[threadgroup_position_in_grid]], PLACE) {                                      \
        group_norm_backward<T>(                                                                    \
            x, weight, bias, grad, moments, grad_x, grad_weight, grad_bias, sizes, shared, index, HERE); \
    }
FOR_EACH_TYPE(THROUGH_GROUP_NORM)
