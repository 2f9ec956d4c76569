// Adam and the moving average of weights, in place. One thread per element.

struct AverageFactors {
    uint count;
    uint squared; // 1 for y², 0 for y
    float keep;
    float add;
};

// x ← keep · x + add · y, or y².
#define AVERAGE(T, SUFFIX)                                                                         \
    kernel void average_##SUFFIX(                                                                  \
        device T* x [[buffer(0)]], device const T* y [[buffer(1)]],                                \
        constant AverageFactors& factors [[buffer(2)]], uint i [[thread_position_in_grid]]) {      \
        if (factors.count <= i) return;                                                            \
        const float z = float(y[i]);                                                               \
        x[i] = T(fma(float(x[i]), factors.keep, factors.add * (factors.squared != 0 ? z * z : z))); \
    }
FOR_EACH_TYPE(AVERAGE)

struct UpdateFactors {
    uint count;
    float keep;  // factor of the parameter after weight decay
    float rate;  // step size divided by the first moment's bias
    float scale; // reciprocal of the second moment's bias
    float eps;
};

// θ ← keep · θ − rate · m / (√(v · scale) + ε).
#define UPDATE(T, SUFFIX)                                                                          \
    kernel void update_##SUFFIX(                                                                   \
        device T* param [[buffer(0)]], device const T* m [[buffer(1)]],                            \
        device const T* v [[buffer(2)]], constant UpdateFactors& factors [[buffer(3)]],            \
        uint i [[thread_position_in_grid]]) {                                                      \
        if (factors.count <= i) return;                                                            \
        const float root = sqrt(float(v[i]) * factors.scale) + factors.eps;                        \
        param[i] = T(fma(float(param[i]), factors.keep, -factors.rate * float(m[i]) / root));      \
    }
FOR_EACH_TYPE(UPDATE)
