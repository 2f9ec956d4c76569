// Sums that several operations need.

struct SumSizes {
    uint count; // sums, or terms of a sum
    uint length;
};

// sums[r] = Σ_i x[r, i] for x: [count, length]. One threadgroup per row.
template <typename T>
static inline void sum_rows(
    device const T* x, device float* sums, uint length, threadgroup float* shared, uint row,
    Place place) {
    device const T* numbers = x + row * length;
    float sum = 0.0f;
    for (uint i = place.thread_index; i < length; i += place.threads) sum += float(numbers[i]);
    sum = block_sum(sum, shared, place);
    if (place.thread_index == 0) sums[row] = sum;
}

// y[i] = Σ_k x[k, i] for x: [count, length]. One thread per column.
template <typename T>
static inline void sum_leading(
    device const float* x, device T* y, uint count, uint length, uint i) {
    if (length <= i) return;
    float sum = 0.0f;
    for (uint k = 0; k < count; ++k) sum += x[k * length + i];
    y[i] = T(sum);
}

#define SUM_ROWS(T, SUFFIX)                                                                        \
    kernel void sum_rows_##SUFFIX(                                                                 \
        device const T* x [[buffer(0)]], device float* sums [[buffer(1)]],                         \
        constant SumSizes& sizes [[buffer(2)]], threadgroup float* shared [[threadgroup(0)]],      \
        uint row [[threadgroup_position_in_grid]], PLACE) {                                        \
        sum_rows<T>(x, sums, sizes.length, shared, row, HERE);                                     \
    }
FOR_EACH_TYPE(SUM_ROWS)

#define SUM_LEADING(T, SUFFIX)                                                                     \
    kernel void sum_leading_##SUFFIX(                                                              \
        device const float* x [[buffer(0)]], device T* y [[buffer(1)]],                            \
        constant SumSizes& sizes [[buffer(2)]], uint i [[thread_position_in_grid]]) {              \
        sum_leading<T>(x, y, sizes.count, sizes.length, i);                                        \
    }
FOR_EACH_TYPE(SUM_LEADING)
