// A tile of a matrix product in the registers of a block of 256 threads.
//
// Thread (row, column) of a 16 x 16 grid holds the products of SIDE / 16 rows and as many columns.
// They are in groups of four at distances of 64, so that the thread reads vectors of four.
#pragma once
#include "prelude.cuh"

constexpr unsigned TILE_THREADS = 256;

template <int SIDE> struct Tile {
    // Terms of the sum between two barriers. Each thread loads four elements of each operand.
    static constexpr int DEPTH = 4 * (int)TILE_THREADS / SIDE;
    static constexpr int GROUPS = SIDE / 64;
    // Distance of rows: the padding avoids bank conflicts of transposing stores.
    static constexpr int STRIDE = SIDE + 4;

    float sums[GROUPS][GROUPS][4][4];

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int i = 0; i < GROUPS * GROUPS * 16; i++) (&sums[0][0][0][0])[i] = 0.0f;
    }

    // Adds the product of `a: [DEPTH, SIDE]`, transposed, and `b: [DEPTH, SIDE]`.
    __device__ __forceinline__ void add(const float (&a)[DEPTH][STRIDE],
                                        const float (&b)[DEPTH][STRIDE]) {
        const unsigned row = threadIdx.x / 16 * 4, column = threadIdx.x % 16 * 4;
#pragma unroll
        for (int k = 0; k < DEPTH; k++) {
            Four<float> left[GROUPS], right[GROUPS];
#pragma unroll
            for (int g = 0; g < GROUPS; g++) {
                left[g] = *reinterpret_cast<const Four<float>*>(&a[k][row + 64 * g]);
                right[g] = *reinterpret_cast<const Four<float>*>(&b[k][column + 64 * g]);
            }
#pragma unroll
            for (int g = 0; g < GROUPS; g++)
#pragma unroll
                for (int h = 0; h < GROUPS; h++)
#pragma unroll
                    for (int i = 0; i < 4; i++)
#pragma unroll
                        for (int j = 0; j < 4; j++)
                            sums[g][h][i][j] += left[g].of[i] * right[h].of[j];
        }
    }

    // Position in the tile of row i of group g.
    __device__ static __forceinline__ unsigned row(int g, int i) {
        return threadIdx.x / 16 * 4 + 64 * g + i;
    }
    __device__ static __forceinline__ unsigned column(int g, int j) {
        return threadIdx.x % 16 * 4 + 64 * g + j;
    }
};
