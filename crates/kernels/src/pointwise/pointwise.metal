// Element-wise operations. One thread per element.

// (a + b) · scale.
static inline float added(float a, float b, float scale) {
    return (a + b) * scale;
}

static inline float silu_of(float x) {
    return x * sigmoid_of(x);
}

// ln(1 + eˣ) = max(x, 0) + ln(1 + e) with e = e^−|x| in (0, 1]. Metal has no log1p, and rounding
// 1 + e would lose a small e: ln(1 + e) = 2 artanh(s) with s = e / (2 + e) ≤ 1/3, as a series whose
// first omitted term is below 1e-8 of the sum.
static inline float softplus_of(float x) {
    const float e = exp(-fabs(x));
    const float s = e / (2.0f + e);
    const float t = s * s;
    float series = 1.0f / 15.0f;
    series = series * t + 1.0f / 13.0f;
    series = series * t + 1.0f / 11.0f;
    series = series * t + 1.0f / 9.0f;
    series = series * t + 1.0f / 7.0f;
    series = series * t + 1.0f / 5.0f;
    series = series * t + 1.0f / 3.0f;
    series = series * t + 1.0f;
    return (x > 0.0f ? x : 0.0f) + 2.0f * s * series;
}

#define ADD_SCALED(T, SUFFIX)                                                                      \
    kernel void add_scaled_##SUFFIX(                                                               \
        device const T* a [[buffer(0)]], device const T* b [[buffer(1)]],                          \
        device T* y [[buffer(2)]], constant uint& count [[buffer(3)]],                             \
        constant float& scale [[buffer(4)]], uint i [[thread_position_in_grid]]) {                 \
        if (i < count) y[i] = T(added(float(a[i]), float(b[i]), scale));                           \
    }
FOR_EACH_TYPE(ADD_SCALED)

#define SCALED(T, SUFFIX)                                                                          \
    kernel void scaled_##SUFFIX(                                                                   \
        device const T* x [[buffer(0)]], device T* y [[buffer(1)]],                                \
        constant uint& count [[buffer(2)]], constant float& scale [[buffer(3)]],                   \
        uint i [[thread_position_in_grid]]) {                                                      \
        if (i < count) y[i] = T(float(x[i]) * scale);                                              \
    }
FOR_EACH_TYPE(SCALED)

// y[c, p] = x[c, p] + shift[c] for x: [channels, pixels].
#define ADD_CHANNELS(T, SUFFIX)                                                                    \
    kernel void add_channels_##SUFFIX(                                                             \
        device const T* x [[buffer(0)]], device const T* shift [[buffer(1)]],                      \
        device T* y [[buffer(2)]], constant uint& count [[buffer(3)]],                             \
        constant uint& pixels [[buffer(4)]], uint i [[thread_position_in_grid]]) {                 \
        if (i < count) y[i] = T(float(x[i]) + float(shift[i / pixels]));                           \
    }
FOR_EACH_TYPE(ADD_CHANNELS)

// y = f(x).
#define MAP(NAME, T, SUFFIX)                                                                       \
    kernel void NAME##_##SUFFIX(                                                                   \
        device const T* x [[buffer(0)]], device T* y [[buffer(1)]],                                \
        constant uint& count [[buffer(2)]], uint i [[thread_position_in_grid]]) {                  \
        if (i < count) y[i] = T(NAME##_of(float(x[i])));                                           \
    }
#define SILU(T, SUFFIX) MAP(silu, T, SUFFIX)
#define SIGMOID(T, SUFFIX) MAP(sigmoid, T, SUFFIX)
#define SOFTPLUS(T, SUFFIX) MAP(softplus, T, SUFFIX)
FOR_EACH_TYPE(SILU)
FOR_EACH_TYPE(SIGMOID)
FOR_EACH_TYPE(SOFTPLUS)

// Turns the gradient with respect to f(x) into the gradient with respect to x. For the sigmoid, x
// is its value.
static inline float through_silu_of(float x) {
    return silu_derivative(x, sigmoid_of(x));
}

static inline float through_sigmoid_of(float y) {
    return y - y * y;
}

static inline float through_softplus_of(float x) {
    return sigmoid_of(x);
}

#define THROUGH(NAME, T, SUFFIX)                                                                   \
    kernel void through_##NAME##_##SUFFIX(                                                         \
        device const T* x [[buffer(0)]], device const T* grad [[buffer(1)]],                       \
        device T* grad_x [[buffer(2)]], constant uint& count [[buffer(3)]],                          \
        uint i [[thread_position_in_grid]]) {                                                      \
        if (i < count) grad_x[i] = T(float(grad[i]) * through_##NAME##_of(float(x[i])));             \
    }
#define THROUGH_SILU(T, SUFFIX) THROUGH(silu, T, SUFFIX)
#define THROUGH_SIGMOID(T, SUFFIX) THROUGH(sigmoid, T, SUFFIX)
#define THROUGH_SOFTPLUS(T, SUFFIX) THROUGH(softplus, T, SUFFIX)
FOR_EACH_TYPE(THROUGH_SILU)
FOR_EACH_TYPE(THROUGH_SIGMOID)
FOR_EACH_TYPE(THROUGH_SOFTPLUS)
