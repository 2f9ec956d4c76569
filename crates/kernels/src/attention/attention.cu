// Parts of attention: products of strided matrices, and the softmax of rows.
//
// Weights and logits are f32 for all operand types, because half precision has neither the range
// for logits nor the resolution for weights.
#include "../gpu/tile.cuh"

// Entry (row, column) of the matrix of head `h` is at h · head + row · row_stride + column ·
// column_stride.
struct Strides {
    unsigned long long head;
    unsigned row, column;
};

// Loads four elements of a tile [DEPTH, SIDE], which is clipped to the matrix. Neighboring threads
// read along the axis on which the elements are dense.
template <typename T, int SIDE> struct Loader {
    static constexpr int DEPTH = Tile<SIDE>::DEPTH;
    const T* matrix;
    unsigned first, size, depth_stride, side_stride, depth, side, depth_step, side_step;
    float held[4];

    // `along` is the axis of the sum.
    __device__ __forceinline__ Loader(const T* matrix_, unsigned first_, unsigned size_,
                                      unsigned depth_stride_, unsigned side_stride_)
        : matrix(matrix_), first(first_), size(size_), depth_stride(depth_stride_),
          side_stride(side_stride_) {
        const bool along_depth = depth_stride == 1;
        depth = along_depth ? threadIdx.x % DEPTH : threadIdx.x / SIDE;
        side = along_depth ? threadIdx.x / DEPTH : threadIdx.x % SIDE;
        depth_step = along_depth ? 0 : TILE_THREADS / SIDE;
        side_step = along_depth ? TILE_THREADS / DEPTH : 0;
    }
    __device__ __forceinline__ void load(unsigned begin, unsigned length) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const unsigned k = begin + depth + depth_step * i, at = first + side + side_step * i;
            const bool exists = k < length && at < size;
            const unsigned long long place =
                (unsigned long long)k * depth_stride + (unsigned long long)at * side_stride;
            held[i] = exists ? to_float(matrix[place]) : 0.0f;
        }
    }
    __device__ __forceinline__ void store(float (&tile)[DEPTH][Tile<SIDE>::STRIDE]) const {
#pragma unroll
        for (int i = 0; i < 4; i++) tile[depth + depth_step * i][side + side_step * i] = held[i];
    }
};

// c = scale · a b for a: [rows, length], b: [length, columns], one head per blockIdx.z.
// c has dense rows.
template <typename A, typename B, typename C>
__device__ __forceinline__ void product(const A* a, Strides a_strides, const B* b,
                                        Strides b_strides, C* c, Strides c_strides, unsigned rows,
                                        unsigned columns, unsigned length, float scale) {
    constexpr int SIDE = 64;
    constexpr int DEPTH = Tile<SIDE>::DEPTH;
    SHARED(float, left, [2][DEPTH][Tile<SIDE>::STRIDE]);
    SHARED(float, right, [2][DEPTH][Tile<SIDE>::STRIDE]);
    const unsigned first_row = blockIdx.y * SIDE, first_column = blockIdx.x * SIDE;
    Loader<A, SIDE> loader_a(a + a_strides.head * blockIdx.z, first_row, rows, a_strides.column,
                             a_strides.row);
    Loader<B, SIDE> loader_b(b + b_strides.head * blockIdx.z, first_column, columns,
                             b_strides.row, b_strides.column);
    Tile<SIDE> tile;
    tile.clear();
    loader_a.load(0, length);
    loader_b.load(0, length);
    loader_a.store(left[0]);
    loader_b.store(right[0]);
    __syncthreads();
    const unsigned steps = (length + DEPTH - 1) / DEPTH;
    for (unsigned step = 0; step < steps; step++) {
        const bool more = step + 1 < steps;
        if (more) {
            loader_a.load((step + 1) * DEPTH, length);
            loader_b.load((step + 1) * DEPTH, length);
        }
        tile.add(left[step % 2], right[step % 2]);
        if (more) {
            loader_a.store(left[(step + 1) % 2]);
            loader_b.store(right[(step + 1) % 2]);
        }
        __syncthreads();
    }
    c += c_strides.head * blockIdx.z;
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const unsigned row = first_row + tile.row(0, i), column = first_column + tile.column(0, j);
            if (row < rows && column < columns)
                c[(unsigned long long)row * c_strides.row + column] =
                    from_float<C>(scale * tile.sums[0][0][i][j]);
        }
}

// x <- softmax of each row, in place. One block per row. Infinity and NaN make a row NaN.
extern "C" __global__ void attention_softmax(float* x, unsigned width) {
    SHARED(float, scratch, [32]);
    x += (unsigned long long)blockIdx.x * width;
    float highest = -INFINITY;
    for (unsigned i = threadIdx.x; i < width; i += blockDim.x)
        highest = highest < x[i] ? x[i] : highest;
    highest = warp_max(highest);
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = highest;
    __syncthreads();
    const unsigned lane = threadIdx.x % 32;
    highest = warp_max(lane < blockDim.x / 32 ? scratch[lane] : -INFINITY);
    float sum = 0.0f;
    for (unsigned i = threadIdx.x; i < width; i += blockDim.x) {
        const float power = expf(x[i] - highest);
        x[i] = power;
        sum += power;
    }
    const float inverse = 1.0f / block_sum(sum, scratch);
    for (unsigned i = threadIdx.x; i < width; i += blockDim.x) x[i] *= inverse;
}

// grad <- weights (grad - sum of weights grad), row by row: the gradient with respect to the
// logits.
extern "C" __global__ void attention_through_softmax(const float* weights, float* grad,
                                                     unsigned width) {
    SHARED(float, scratch, [32]);
    weights += (unsigned long long)blockIdx.x * width;
    grad += (unsigned long long)blockIdx.x * width;
    float sum = 0.0f;
    for (unsigned i = threadIdx.x; i < width; i += blockDim.x) sum += weights[i] * grad[i];
    sum = block_sum(sum, scratch);
    for (unsigned i = threadIdx.x; i < width; i += blockDim.x)
        grad[i] = weights[i] * (grad[i] - sum);
}

// The two products: two operands to f32, and an operand times f32 to the operand's type.
#define KERNELS(T, suffix)                                                                         \
    extern "C" __global__ void __launch_bounds__(TILE_THREADS) attention_logits_##suffix(          \
        const T* a, unsigned long long a_head, unsigned a_row, unsigned a_column, const T* b,      \
        unsigned long long b_head, unsigned b_row, unsigned b_column, float* c,                    \
        unsigned long long c_head, unsigned c_row, unsigned rows, unsigned columns,                \
        unsigned length, float scale) {                                                            \
        product(a, Strides{a_head, a_row, a_column}, b, Strides{b_head, b_row, b_column}, c,       \
                Strides{c_head, c_row, 1}, rows, columns, length, scale);                          \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(TILE_THREADS) attention_mix_##suffix(             \
        const T* a, unsigned long long a_head, unsigned a_row, unsigned a_column, const float* b,  \
        unsigned long long b_head, unsigned b_row, unsigned b_column, T* c,                        \
        unsigned long long c_head, unsigned c_row, unsigned rows, unsigned columns,                \
        unsigned length, float scale) {                                                            \
        product(a, Strides{a_head, a_row, a_column}, b, Strides{b_head, b_row, b_column}, c,       \
                Strides{c_head, c_row, 1}, rows, columns, length, scale);                          \
    }

FOR_EACH_TYPE(KERNELS)
