// Philox 4x32-10 (Salmon et al. 2011), the same words as on the CPU.
#pragma once
#include "../gpu/prelude.cuh"

struct Words {
    unsigned of[4];
};

// The four words at (position, block) of a stream.
__device__ __forceinline__ Words philox(unsigned long long seed, unsigned stream,
                                        unsigned long long position, unsigned block) {
    unsigned c0 = block, c1 = stream, c2 = (unsigned)position, c3 = (unsigned)(position >> 32);
    unsigned k0 = (unsigned)seed, k1 = (unsigned)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        const unsigned a_high = __umulhi(0xD2511F53u, c0), a_low = 0xD2511F53u * c0;
        const unsigned b_high = __umulhi(0xCD9E8D57u, c2), b_low = 0xCD9E8D57u * c2;
        c0 = b_high ^ c1 ^ k0;
        c1 = b_low;
        c2 = a_high ^ c3 ^ k1;
        c3 = a_low;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return Words{{c0, c1, c2, c3}};
}

// A uniform number in (0, 1) with 24 bits, exact in f32 except for the last rounding.
__device__ __forceinline__ float uniform_of(unsigned word) {
    return ((float)(word >> 8) + 0.5f) * 5.9604644775390625e-8f;
}
