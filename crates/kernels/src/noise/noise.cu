// Tensors of noise: row i of [rows, width] belongs to position start + i. One thread per block of
// four elements.
#include "philox.cuh"

// Writes four elements of a row, or the rest of it.
template <typename Of>
__device__ __forceinline__ void fill(float* out, unsigned long long rows, unsigned width,
                                     unsigned long long seed, unsigned stream,
                                     unsigned long long start, Of numbers_of) {
    const unsigned blocks = (width + 3) / 4;
    FOR_EACH_ELEMENT(i, rows * blocks) {
        const unsigned long long row = i / blocks;
        const unsigned block = i % blocks;
        float numbers[4];
        numbers_of(philox(seed, stream, start + row, block), numbers);
        for (unsigned j = 0; j < 4 && block * 4 + j < width; j++)
            out[row * width + block * 4 + j] = numbers[j];
    }
}

extern "C" __global__ void noise_uniform(float* out, unsigned long long rows, unsigned width,
                                         unsigned long long seed, unsigned stream,
                                         unsigned long long start) {
    fill(out, rows, width, seed, stream, start, [](const Words& words, float* numbers) {
        for (int j = 0; j < 4; j++) numbers[j] = uniform_of(words.of[j]);
    });
}

// Box and Muller's map, in f64 as on the CPU, so that rounding to f32 removes almost all
// differences between the logarithms and cosines of the two libraries.
extern "C" __global__ void noise_normal(float* out, unsigned long long rows, unsigned width,
                                        unsigned long long seed, unsigned stream,
                                        unsigned long long start) {
    fill(out, rows, width, seed, stream, start, [](const Words& words, float* numbers) {
        constexpr double UNIT = 1.0 / 4294967296.0, TAU = 6.283185307179586477;
        for (int j = 0; j < 4; j += 2) {
            const double radius = sqrt(-2.0 * log(((double)words.of[j] + 0.5) * UNIT));
            double sine, cosine;
            sincos(TAU * (double)words.of[j + 1] * UNIT, &sine, &cosine);
            numbers[j] = (float)(radius * cosine);
            numbers[j + 1] = (float)(radius * sine);
        }
    });
}
