// Uniform numbers in (0, 1): 24 bits plus one half, the same as on the CPU. One thread per four
// elements.
//
// Normal numbers have no kernel: the CPU computes them in double precision, which Metal lacks, so
// that a run has the same numbers on every device.

kernel void uniform_f32(
    device float* y [[buffer(0)]], constant Stream& stream [[buffer(1)]],
    uint index [[thread_position_in_grid]]) {
    const uint blocks = blocks_of(stream);
    const uint sample = index / blocks, block = index % blocks;
    if (stream.count <= sample) return;
    const Words words = words_of(stream, sample, block);
    for (uint i = 0; i < 4 && 4 * block + i < stream.length; ++i) {
        y[sample * stream.length + 4 * block + i] = (float(words.word[i] >> 8) + 0.5f) * 5.9604644775390625e-8f;
    }
}
