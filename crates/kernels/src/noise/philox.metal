// The Philox 4x32-10 bijection, and the coordinates of a run's random numbers (see noise/mod.rs).

struct Words {
    uint word[4];
};

struct Stream {
    ulong seed;
    ulong position; // position of the first sample
    uint stream;
    uint length; // elements per sample
    uint count;  // number of samples
};

// Four independent uniform words of block `block` of sample `sample`.
static inline Words words_of(constant Stream& stream, uint sample, uint block) {
    const ulong position = stream.position + sample;
    uint c0 = block, c1 = stream.stream, c2 = uint(position), c3 = uint(position >> 32);
    uint k0 = uint(stream.seed), k1 = uint(stream.seed >> 32);
    for (uint round = 0; round < 10; ++round) {
        const uint a_low = 0xD2511F53u * c0, a_high = mulhi(0xD2511F53u, c0);
        const uint b_low = 0xCD9E8D57u * c2, b_high = mulhi(0xCD9E8D57u, c2);
        c0 = b_high ^ c1 ^ k0;
        c1 = b_low;
        c2 = a_high ^ c3 ^ k1;
        c3 = a_low;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return Words{{c0, c1, c2, c3}};
}

// Blocks of four elements per sample.
static inline uint blocks_of(constant Stream& stream) {
    return (stream.length + 3) / 4;
}
