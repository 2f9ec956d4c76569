// Dropout: y = x times `factor` where 24 random bits reach `threshold`, times 0 elsewhere, which
// propagates NaN. One thread per four elements. The masks are the same as on the CPU.

struct DropoutFactors {
    uint threshold;
    float factor;
};

template <typename T>
static inline void dropout(
    device const T* x, device T* y, constant Stream& stream, constant DropoutFactors& factors,
    uint index) {
    const uint blocks = blocks_of(stream);
    const uint sample = index / blocks, block = index % blocks;
    if (stream.count <= sample) return;
    const Words words = words_of(stream, sample, block);
    for (uint i = 0; i < 4 && 4 * block + i < stream.length; ++i) {
        const uint at = sample * stream.length + 4 * block + i;
        const float factor = factors.threshold <= words.word[i] >> 8 ? factors.factor : 0.0f;
        y[at] = T(float(x[at]) * factor);
    }
}

#define DROPOUT(T, SUFFIX)                                                                         \
    kernel void dropout_##SUFFIX(                                                                  \
        device const T* x [[buffer(0)]], device T* y [[buffer(1)]],                                \
        constant Stream& stream [[buffer(2)]], constant DropoutFactors& factors [[buffer(3)]],     \
        uint index [[thread_position_in_grid]]) {                                                  \
        dropout<T>(x, y, stream, factors, index);                                                  \
    }
FOR_EACH_TYPE(DROPOUT)
