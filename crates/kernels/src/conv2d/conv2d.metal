// Convolution with stride 1, zero padding that keeps the size and an odd square kernel, as products of
// tiles. A threadgroup of 256 computes 64 rows by 64 columns. It stages 16 terms at a time in shared
// memory, and each thread keeps 4 by 4 sums.
//
// x: [B, C, H, W]; weight: [O, C, k, k]; y: [B, O, H, W]. The columns of a product are the pixels of all
// samples.

constant constexpr uint TILE = 64;   // rows and columns of a threadgroup
constant constexpr uint DEPTH = 16;  // terms that are staged at a time
constant constexpr uint STRIDE = 65; // elements of a staged term: avoids bank conflicts
constant constexpr uint SIDE = 16;   // threads along a side; each has every 16th row and column
constant constexpr uint EACH = 4;    // rows and columns of a thread

struct ConvSizes {
    uint batch;
    uint inputs;  // input channels
    uint outputs; // output channels
    uint height;
    uint width;
    uint side;    // k
    uint flipped; // 1 if the weight is [inputs, outputs, k, k], rotated by half a turn
    uint biased;
    uint run; // pixels of a partial sum of the gradient with respect to the weight
};

struct Sums {
    float sum[4][4];
};

// Adds the products of the staged terms.
static inline Sums add_products(
    Sums sums, threadgroup const float* a, threadgroup const float* b, uint row, uint column) {
    for (uint k = 0; k < DEPTH; ++k) {
        float left[EACH], right[EACH];
        for (uint i = 0; i < EACH; ++i) left[i] = a[k * STRIDE + row + SIDE * i];
        for (uint j = 0; j < EACH; ++j) right[j] = b[k * STRIDE + column + SIDE * j];
        for (uint i = 0; i < EACH; ++i) {
            for (uint j = 0; j < EACH; ++j) sums.sum[i][j] = fma(left[i], right[j], sums.sum[i][j]);
        }
    }
    return sums;
}

// y = bias + Σ over inputs and taps. With `flipped`, the gradient with respect to x from that with respect
// to y.
template <typename T>
static inline void conv2d(
    device const T* x, device const T* weight, device const T* bias, device T* y,
    constant ConvSizes& sizes, threadgroup float* shared, uint2 tile, uint thread_index) {
    threadgroup float* a = shared;
    threadgroup float* b = shared + DEPTH * STRIDE;
    const uint pixels = sizes.height * sizes.width, columns = sizes.batch * pixels;
    const uint taps = sizes.side * sizes.side, half_side = sizes.side / 2;
    // Pixel that this thread stages, for every term.
    const uint staged = TILE * tile.x + thread_index % TILE;
    const uint sample = staged / pixels, pixel = staged % pixels;
    const uint row = pixel / sizes.width, column = pixel % sizes.width;
    Sums sums = {};
    for (uint tap = 0; tap < taps; ++tap) {
        // Outside the image this wraps around to an invalid row or column.
        const uint i = row + tap / sizes.side - half_side;
        const uint j = column + tap % sizes.side - half_side;
        const bool inside = staged < columns && i < sizes.height && j < sizes.width;
        device const T* source = x;
        if (inside) source += sample * sizes.inputs * pixels + i * sizes.width + j;
        const uint rotated = sizes.flipped != 0 ? taps - 1 - tap : tap;
        for (uint first = 0; first < sizes.inputs; first += DEPTH) {
            // Other threads may still read the previous terms.
            threadgroup_barrier(mem_flags::mem_threadgroup);
            for (uint e = thread_index; e < TILE * DEPTH; e += SIDE * SIDE) {
                const uint output = TILE * tile.y + e / DEPTH, input = first + e % DEPTH;
                float value = 0.0f;
                if (output < sizes.outputs && input < sizes.inputs) {
                    const uint pair = sizes.flipped != 0 ? input * sizes.outputs + output
                                                         : output * sizes.inputs + input;
                    value = float(weight[pair * taps + rotated]);
                }
                a[e % DEPTH * STRIDE + e / DEPTH] = value;
            }
            for (uint e = thread_index; e < TILE * DEPTH; e += SIDE * SIDE) {
                const uint input = first + e / TILE;
                const bool is_there = inside && input < sizes.inputs;
                b[e / TILE * STRIDE + e % TILE] = is_there ? float(source[input * pixels]) : 0.0f;
            }
            threadgroup_barrier(mem_flags::mem_threadgroup);
            sums = add_products(sums, a, b, thread_index / SIDE, thread_index % SIDE);
        }
    }
    for (uint n = 0; n < EACH; ++n) {
        const uint at = TILE * tile.x + thread_index % SIDE + SIDE * n;
        if (columns <= at) continue;
        const uint base = at / pixels * sizes.outputs * pixels + at % pixels;
        for (uint m = 0; m < EACH; ++m) {
            const uint output = TILE * tile.y + thread_index / SIDE + SIDE * m;
            if (sizes.outputs <= output) continue;
            const float shift = sizes.biased != 0 ? float(bias[output]) : 0.0f;
            y[base + output * pixels] = T(sums.sum[m][n] + shift);
        }
    }
}

// parts[s, o, c, tap] = Σ grad[b, o, i, j] x[b, c, i + u − k/2, j + v − k/2] over run s of the pixels of
// all samples. Rows are outputs and columns are inputs; tile.z is tap + taps · s.
template <typename T>
static inline void through_weight(
    device const T* x, device const T* grad, device float* parts, constant ConvSizes& sizes,
    threadgroup float* shared, uint3 tile, uint thread_index) {
    threadgroup float* a = shared;
    threadgroup float* b = shared + DEPTH * STRIDE;
    const uint pixels = sizes.height * sizes.width, columns = sizes.batch * pixels;
    const uint taps = sizes.side * sizes.side, half_side = sizes.side / 2;
    const uint tap = tile.z % taps, part = tile.z / taps;
    const uint end = min(columns, (part + 1) * sizes.run);
    Sums sums = {};
    for (uint first = part * sizes.run; first < end; first += DEPTH) {
        // Pixel that this thread stages, for every channel.
        const uint term = thread_index % DEPTH, at = first + term;
        const uint sample = at / pixels, pixel = at % pixels;
        const uint i = pixel / sizes.width + tap / sizes.side - half_side;
        const uint j = pixel % sizes.width + tap % sizes.side - half_side;
        const bool is_there = at < end;
        const bool inside = is_there && i < sizes.height && j < sizes.width;
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint e = thread_index / DEPTH; e < TILE; e += SIDE * SIDE / DEPTH) {
            const uint output = TILE * tile.y + e, input = TILE * tile.x + e;
            float left = 0.0f, right = 0.0f;
            if (is_there && output < sizes.outputs) {
                left = float(grad[(sample * sizes.outputs + output) * pixels + pixel]);
            }
            if (inside && input < sizes.inputs) {
                right = float(x[(sample * sizes.inputs + input) * pixels + i * sizes.width + j]);
            }
            a[term * STRIDE + e] = left;
            b[term * STRIDE + e] = right;
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        sums = add_products(sums, a, b, thread_index / SIDE, thread_index % SIDE);
    }
    for (uint m = 0; m < EACH; ++m) {
        const uint output = TILE * tile.y + thread_index / SIDE + SIDE * m;
        for (uint n = 0; n < EACH; ++n) {
            const uint input = TILE * tile.x + thread_index % SIDE + SIDE * n;
            if (sizes.outputs <= output || sizes.inputs <= input) continue;
            const uint pair = (part * sizes.outputs + output) * sizes.inputs + input;
            parts[pair * taps + tap] = sums.sum[m][n];
        }
    }
}

#define CONV2D(T, SUFFIX)                                                                          \
    [[kernel, max_total_threads_per_threadgroup(256)]] void conv2d_##SUFFIX(                       \
        device const T* x [[buffer(0)]], device const T* weight [[buffer(1)]],                     \
        device const T* bias [[buffer(2)]], device T* y [[buffer(3)]],                             \
        constant ConvSizes& sizes [[buffer(4)]], threadgroup float* shared [[threadgroup(0)]],     \
        uint2 tile [[threadgroup_position_in_grid]],                                               \
        uint thread_index [[thread_index_in_threadgroup]]) {                                       \
        conv2d<T>(x, weight, bias, y, sizes, shared, tile, thread_index);                          \
    }
FOR_EACH_TYPE(CONV2D)

#define THROUGH_WEIGHT(T, SUFFIX)                                                                  \
    [[kernel, max_total_threads_per_threadgroup(256)]] void through_weight_##SUFFIX(               \
        device const T* x [[buffer(0)]], device const T* grad [[buffer(1)]],                       \
        device float* parts [[buffer(2)]], constant ConvSizes& sizes [[buffer(3)]],                \
        threadgroup float* shared [[threadgroup(0)]],                                              \
        uint3 tile [[threadgroup_position_in_grid]],                                               \
        uint thread_index [[thread_index_in_threadgroup]]) {                                       \
        through_weight<T>(x, grad, parts, sizes, shared, tile, thread_index);                      \
    }
FOR_EACH_TYPE(THROUGH_WEIGHT)
