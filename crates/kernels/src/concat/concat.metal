// Concatenation of samples of `a_length` and `b_length` elements, and extraction of a part.

struct ConcatSizes {
    uint count; // elements written
    uint a_length;
    uint b_length;
};

#define CONCAT(T, SUFFIX)                                                                          \
    kernel void concat_##SUFFIX(                                                                   \
        device const T* a [[buffer(0)]], device const T* b [[buffer(1)]],                          \
        device T* y [[buffer(2)]], constant ConcatSizes& sizes [[buffer(3)]],                      \
        uint i [[thread_position_in_grid]]) {                                                      \
        if (sizes.count <= i) return;                                                              \
        const uint length = sizes.a_length + sizes.b_length;                                       \
        const uint sample = i / length, at = i % length;                                           \
        y[i] = at < sizes.a_length ? a[sample * sizes.a_length + at]                               \
                                   : b[sample * sizes.b_length + at - sizes.a_length];             \
    }
FOR_EACH_TYPE(CONCAT)

struct PartSizes {
    uint count;  // elements written
    uint length; // length of a sample of x
    uint start;  // start of the part in a sample
    uint part;   // length of the part
};

#define PART(T, SUFFIX)                                                                            \
    kernel void part_##SUFFIX(                                                                     \
        device const T* x [[buffer(0)]], device T* y [[buffer(1)]],                                \
        constant PartSizes& sizes [[buffer(2)]], uint i [[thread_position_in_grid]]) {             \
        if (sizes.count <= i) return;                                                              \
        y[i] = x[i / sizes.part * sizes.length + sizes.start + i % sizes.part];                    \
    }
FOR_EACH_TYPE(PART)
