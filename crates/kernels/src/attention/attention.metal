// Self-attention over pixels with the softmax in one pass over the keys (Dao et al. 2022,
// arXiv:2205.14135). Only the logarithm of each query's sum is kept, no matrix of weights.
//
// For one head with D channels and T pixels, query, key and value are [D, T] with rows at distances
// of 3T (see mod.rs). Output and gradient are [D, T]. A threadgroup of 256 threads, eight
// SIMD-groups of 32, combines 32 queries (or keys) with 32 keys (or queries) at a time and writes
// 128 channels.

constant constexpr uint TILE = 32;   // queries, keys, and channels staged at a time
constant constexpr uint STRIDE = 33; // length of a staged row, which avoids bank conflicts
constant constexpr uint ROWS = 4;    // rows of a tile per thread: every eighth
constant constexpr uint SIMDS = 8;
constant constexpr uint EACH = 16;   // channels written per thread: every eighth
constant constexpr uint CHANNELS = EACH * SIMDS; // channels written per threadgroup

struct AttentionSizes {
    uint channels; // D
    uint pixels;   // T
    float scale;   // 1 / √D
};

struct Rows {
    float row[4];
};

// Σ_c a[c, i] b[c, j] for the rows i of this thread, `a_first + simd + 8 r`, and the column
// j = `b_first + lane`; zero beyond the pixels. `staging` holds two tiles.
template <typename T>
static inline Rows products(
    device const T* a, uint a_stride, uint a_first, device const T* b, uint b_stride, uint b_first,
    constant AttentionSizes& sizes, threadgroup float* staging, uint simd, uint lane) {
    threadgroup float* left = staging;
    threadgroup float* right = staging + TILE * STRIDE;
    Rows sums = {};
    for (uint first = 0; first < sizes.channels; first += TILE) {
        // Other threads may still be reading the staged values.
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint c = simd; c < TILE; c += SIMDS) {
            const bool is_there = first + c < sizes.channels;
            const uint i = a_first + lane, j = b_first + lane;
            left[c * STRIDE + lane] = is_there && i < sizes.pixels
                                          ? float(a[(first + c) * a_stride + i])
                                          : 0.0f;
            right[c * STRIDE + lane] = is_there && j < sizes.pixels
                                           ? float(b[(first + c) * b_stride + j])
                                           : 0.0f;
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint c = 0; c < TILE; ++c) {
            const float number = right[c * STRIDE + lane];
            for (uint r = 0; r < ROWS; ++r) {
                sums.row[r] = fma(left[c * STRIDE + simd + SIMDS * r], number, sums.row[r]);
            }
        }
    }
    return sums;
}

// y = v softmax(qᵀ k · scale)ᵀ, and log_sums[t] = ln Σ_s exp(logit[t, s]).
//
// tile: queries, head, channels.
template <typename T>
static inline void attention_forward(
    device const T* qkv, device T* y, device float* log_sums, constant AttentionSizes& sizes,
    threadgroup float* shared, uint3 tile, uint simd, uint lane) {
    threadgroup float* weights = shared + 2 * TILE * STRIDE; // [query, key]
    threadgroup float* factors = shared + 3 * TILE * STRIDE; // [query]
    const uint pixels = sizes.pixels, packed = 3 * pixels;
    const uint query = TILE * tile.x, channel = CHANNELS * tile.z + simd;
    qkv += tile.y * sizes.channels * packed;
    y += tile.y * sizes.channels * pixels;
    device const T* v = qkv + 2 * pixels;
    float sums[EACH] = {};
    float highest[ROWS], totals[ROWS] = {};
    for (uint r = 0; r < ROWS; ++r) highest[r] = -INFINITY;
    for (uint key = 0; key < pixels; key += TILE) {
        const Rows logits =
            products(qkv, packed, query, qkv + pixels, packed, key, sizes, shared, simd, lane);
        for (uint r = 0; r < ROWS; ++r) {
            const float logit = key + lane < pixels ? logits.row[r] * sizes.scale : -INFINITY;
            const float higher = max(highest[r], simd_max(logit));
            // All logits so far can be minus infinity; then there is nothing to subtract.
            const float base = higher == -INFINITY ? 0.0f : higher;
            const float weight = exp(logit - base);
            const float factor = exp(highest[r] - base);
            totals[r] = totals[r] * factor + simd_sum(weight);
            highest[r] = higher;
            weights[(simd + SIMDS * r) * STRIDE + lane] = weight;
            if (lane == 0) factors[simd + SIMDS * r] = factor;
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        const float factor = factors[lane];
        const uint keys = min(TILE, pixels - key);
        for (uint r = 0; r < EACH; ++r) {
            const uint c = channel + SIMDS * r;
            if (sizes.channels <= c) continue;
            float sum = sums[r] * factor;
            for (uint s = 0; s < keys; ++s) {
                sum = fma(weights[lane * STRIDE + s], float(v[c * packed + key + s]), sum);
            }
            sums[r] = sum;
        }
    }
    // Other threads may still be reading the factors of the last keys.
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint r = 0; r < ROWS; ++r) {
        const uint t = query + simd + SIMDS * r;
        if (lane != 0) continue;
        factors[simd + SIMDS * r] = totals[r];
        if (tile.z == 0 && t < pixels) log_sums[tile.y * pixels + t] = highest[r] + log(totals[r]);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (pixels <= query + lane) return;
    for (uint r = 0; r < EACH; ++r) {
        const uint c = channel + SIMDS * r;
        if (c < sizes.channels) y[c * pixels + query + lane] = T(sums[r] / factors[lane]);
    }
}

// means[t] = Σ_c grad[c, t] y[c, t] for [heads, D, T]: the term that the softmax's gradient
// subtracts for every key of a query. One thread per query.
template <typename T>
static inline void attention_means(
    device const T* y, device const T* grad, device float* means, constant AttentionSizes& sizes,
    uint count, uint index) {
    if (count <= index) return;
    const uint first = index / sizes.pixels * sizes.channels * sizes.pixels + index % sizes.pixels;
    float sum = 0.0f;
    for (uint c = 0; c < sizes.channels; ++c) {
        const uint at = first + c * sizes.pixels;
        sum = fma(float(grad[at]), float(y[at]), sum);
    }
    means[index] = sum;
}

struct Softmax {
    float weights[4];
    float gradients[4];
};

// The softmax's weights of this thread's queries and key, and the gradients with respect to their
// logits: p = exp(logit − log_sum) and s = p (Σ_c grad[c, t] v[c, s] − mean); zero beyond the
// pixels.
template <typename T>
static inline Softmax softmax_of(
    device const T* qkv, device const T* grad, device const float* log_sums,
    device const float* means, constant AttentionSizes& sizes, threadgroup float* staging,
    uint query, uint key, uint simd, uint lane) {
    const uint pixels = sizes.pixels, packed = 3 * pixels;
    const Rows logits =
        products(qkv, packed, query, qkv + pixels, packed, key, sizes, staging, simd, lane);
    const Rows grad_weight =
        products(grad, pixels, query, qkv + 2 * pixels, packed, key, sizes, staging, simd, lane);
    Softmax softmax = {};
    for (uint r = 0; r < ROWS; ++r) {
        const uint t = query + simd + SIMDS * r;
        if (pixels <= t || pixels <= key + lane) continue;
        softmax.weights[r] = exp(logits.row[r] * sizes.scale - log_sums[t]);
        softmax.gradients[r] = softmax.weights[r] * (grad_weight.row[r] - means[t]);
    }
    return softmax;
}

// grad_q = k sᵀ · scale. tile: queries, head, channels.
template <typename T>
static inline void through_query(
    device const T* qkv, device const T* grad, device const float* log_sums,
    device const float* means, device T* grad_qkv, constant AttentionSizes& sizes,
    threadgroup float* shared, uint3 tile, uint simd, uint lane) {
    threadgroup float* gradients = shared + 2 * TILE * STRIDE; // [query, key]
    const uint pixels = sizes.pixels, packed = 3 * pixels;
    const uint query = TILE * tile.x, channel = CHANNELS * tile.z + simd;
    qkv += tile.y * sizes.channels * packed;
    grad_qkv += tile.y * sizes.channels * packed;
    grad += tile.y * sizes.channels * pixels;
    log_sums += tile.y * pixels;
    means += tile.y * pixels;
    device const T* k = qkv + pixels;
    float sums[EACH] = {};
    for (uint key = 0; key < pixels; key += TILE) {
        const Softmax softmax =
            softmax_of(qkv, grad, log_sums, means, sizes, shared, query, key, simd, lane);
        for (uint r = 0; r < ROWS; ++r) {
            gradients[(simd + SIMDS * r) * STRIDE + lane] = softmax.gradients[r];
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        const uint keys = min(TILE, pixels - key);
        for (uint r = 0; r < EACH; ++r) {
            const uint c = channel + SIMDS * r;
            if (sizes.channels <= c) continue;
            for (uint s = 0; s < keys; ++s) {
                sums[r] = fma(gradients[lane * STRIDE + s], float(k[c * packed + key + s]), sums[r]);
            }
        }
    }
    if (pixels <= query + lane) return;
    for (uint r = 0; r < EACH; ++r) {
        const uint c = channel + SIMDS * r;
        if (c < sizes.channels) grad_qkv[c * packed + query + lane] = T(sums[r] * sizes.scale);
    }
}

// grad_k = q s · scale and grad_v = grad p. tile: keys, head, channels.
template <typename T>
static inline void through_key_value(
    device const T* qkv, device const T* grad, device const float* log_sums,
    device const float* means, device T* grad_qkv, constant AttentionSizes& sizes,
    threadgroup float* shared, uint3 tile, uint simd, uint lane) {
    threadgroup float* weights = shared + 2 * TILE * STRIDE; // [query, key]
    threadgroup float* gradients = shared + 3 * TILE * STRIDE;
    const uint pixels = sizes.pixels, packed = 3 * pixels;
    const uint key = TILE * tile.x, channel = CHANNELS * tile.z + simd;
    qkv += tile.y * sizes.channels * packed;
    grad_qkv += tile.y * sizes.channels * packed;
    grad += tile.y * sizes.channels * pixels;
    log_sums += tile.y * pixels;
    means += tile.y * pixels;
    float by_k[EACH] = {}, by_v[EACH] = {};
    for (uint query = 0; query < pixels; query += TILE) {
        const Softmax softmax =
            softmax_of(qkv, grad, log_sums, means, sizes, shared, query, key, simd, lane);
        for (uint r = 0; r < ROWS; ++r) {
            weights[(simd + SIMDS * r) * STRIDE + lane] = softmax.weights[r];
            gradients[(simd + SIMDS * r) * STRIDE + lane] = softmax.gradients[r];
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        const uint queries = min(TILE, pixels - query);
        for (uint r = 0; r < EACH; ++r) {
            const uint c = channel + SIMDS * r;
            if (sizes.channels <= c) continue;
            for (uint t = 0; t < queries; ++t) {
                const float q = float(qkv[c * packed + query + t]);
                by_k[r] = fma(gradients[t * STRIDE + lane], q, by_k[r]);
                const float g = float(grad[c * pixels + query + t]);
                by_v[r] = fma(weights[t * STRIDE + lane], g, by_v[r]);
            }
        }
    }
    if (pixels <= key + lane) return;
    for (uint r = 0; r < EACH; ++r) {
        const uint c = channel + SIMDS * r;
        if (sizes.channels <= c) continue;
        grad_qkv[c * packed + pixels + key + lane] = T(by_k[r] * sizes.scale);
        grad_qkv[c * packed + 2 * pixels + key + lane] = T(by_v[r]);
    }
}

#define ATTENTION(T, SUFFIX)                                                                       \
    [[kernel, max_total_threads_per_threadgroup(256)]] void attention_##SUFFIX(                    \
        device const T* qkv [[buffer(0)]], device T* y [[buffer(1)]],                              \
        device float* log_sums [[buffer(2)]], constant AttentionSizes& sizes [[buffer(3)]],        \
        threadgroup float* shared [[threadgroup(0)]],                                              \
        uint3 tile [[threadgroup_position_in_grid]],                                               \
        uint thread_index [[thread_index_in_threadgroup]]) {                                       \
        attention_forward<T>(                                                                      \
            qkv, y, log_sums, sizes, shared, tile, thread_index / TILE, thread_index % TILE);      \
    }
FOR_EACH_TYPE(ATTENTION)

#define ATTENTION_MEANS(T, SUFFIX)                                                                 \
    kernel void attention_means_##SUFFIX(                                                          \
        device const T* y [[buffer(0)]], device const T* grad [[buffer(1)]],                       \
        device float* means [[buffer(2)]], constant AttentionSizes& sizes [[buffer(3)]],           \
        constant uint& count [[buffer(4)]], uint index [[thread_position_in_grid]]) {              \
        attention_means<T>(y, grad, means, sizes, count, index);                                   \
    }
FOR_EACH_TYPE(ATTENTION_MEANS)

#define THROUGH_ATTENTION(NAME, T, SUFFIX)                                                         \
    [[kernel, max_total_threads_per_threadgroup(256)]] void NAME##_##SUFFIX(                       \
        device const T* qkv [[buffer(0)]], device const T* grad [[buffer(1)]],                     \
        device const float* log_sums [[buffer(2)]], device const float* means [[buffer(3)]],       \
        device T* grad_qkv [[buffer(4)]], constant AttentionSizes& sizes [[buffer(5)]],              \
        threadgroup float* shared [[threadgroup(0)]],                                              \
        uint3 tile [[threadgroup_position_in_grid]],                                               \
        uint thread_index [[thread_index_in_threadgroup]]) {                                       \
        NAME<T>(qkv, grad, log_sums, means, grad_qkv, sizes, shared, tile, thread_index / TILE,      \
                thread_index % TILE);                                                              \
    }
#define THROUGH_QUERY(T, SUFFIX) THROUGH_ATTENTION(through_query, T, SUFFIX)
#define THROUGH_KEY_VALUE(T, SUFFIX) THROUGH_ATTENTION(through_key_value, T, SUFFIX)
FOR_EACH_TYPE(THROUGH_QUERY)
FOR_EACH_TYPE(THROUGH_KEY_VALUE)
