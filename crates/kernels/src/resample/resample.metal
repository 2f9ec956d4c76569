// Resampling by two with a separable filter: along each axis small[i] = Σ_u taps[u] large[2i + u −
// p], and the transpose of that map. One thread per written pixel.

struct ResampleSizes {
    uint count; // elements written
    uint large_rows;
    uint large_columns;
    uint small_rows;
    uint small_columns;
    uint padding; // p
    uint length;  // taps of the filter
    float taps[4];
};

// Large to small.
template <typename T>
static inline void reduce(
    device const T* large, device T* small, constant ResampleSizes& sizes, uint index) {
    if (sizes.count <= index) return;
    const uint column = index % sizes.small_columns, rest = index / sizes.small_columns;
    const uint row = rest % sizes.small_rows;
    device const T* plane = large + rest / sizes.small_rows * sizes.large_rows * sizes.large_columns;
    float sum = 0.0f;
    for (uint u = 0; u < sizes.length; ++u) {
        // Above the image, the index wraps around to a value beyond the last row.
        const uint i = 2 * row + u - sizes.padding;
        if (sizes.large_rows <= i) continue;
        float along = 0.0f;
        for (uint v = 0; v < sizes.length; ++v) {
            const uint j = 2 * column + v - sizes.padding;
            if (j < sizes.large_columns) {
                along += sizes.taps[v] * float(plane[i * sizes.large_columns + j]);
            }
        }
        sum += sizes.taps[u] * along;
    }
    small[index] = T(sum);
}

// Small to large: large[i] = Σ taps[u] small[(i + p − u) / 2] over the u without remainder.
template <typename T>
static inline void spread(
    device const T* small, device T* large, constant ResampleSizes& sizes, uint index) {
    if (sizes.count <= index) return;
    const uint column = index % sizes.large_columns, rest = index / sizes.large_columns;
    const uint row = rest % sizes.large_rows;
    device const T* plane = small + rest / sizes.large_rows * sizes.small_rows * sizes.small_columns;
    const uint top = row + sizes.padding, left = column + sizes.padding;
    float sum = 0.0f;
    for (uint u = top % 2; u < sizes.length && u <= top; u += 2) {
        const uint i = (top - u) / 2;
        if (sizes.small_rows <= i) continue;
        float along = 0.0f;
        for (uint v = left % 2; v < sizes.length && v <= left; v += 2) {
            const uint j = (left - v) / 2;
            if (j < sizes.small_columns) {
                along += sizes.taps[v] * float(plane[i * sizes.small_columns + j]);
            }
        }
        sum += sizes.taps[u] * along;
    }
    large[index] = T(sum);
}

#define REDUCE(T, SUFFIX)                                                                          \
    kernel void reduce_##SUFFIX(                                                                   \
        device const T* large [[buffer(0)]], device T* small [[buffer(1)]],                        \
        constant ResampleSizes& sizes [[buffer(2)]], uint index [[thread_position_in_grid]]) {     \
        reduce<T>(large, small, sizes, index);                                                     \
    }
FOR_EACH_TYPE(REDUCE)

#define SPREAD(T, SUFFIX)                                                                          \
    kernel void spread_##SUFFIX(                                                                   \
        device const T* small [[buffer(0)]], device T* large [[buffer(1)]],                        \
        constant ResampleSizes& sizes [[buffer(2)]], uint index [[thread_position_in_grid]]) {     \
        spread<T>(small, large, sizes, index);                                                     \
    }
FOR_EACH_TYPE(SPREAD)
