// Additions to `cuda_cpu.h` for candle's kernels, which are compiled as for a GPU with bf16.
#pragma once
#include "cuda_cpu.h"

// Functions on half-precision values that NVIDIA's headers define for GPUs only.
#define GPU_HALF_FUNCTION(name, function)                                                          \
    static inline __half name(__half x) { return __float2half(function(__half2float(x))); }        \
    static inline __nv_bfloat16 name(__nv_bfloat16 x) {                                            \
        return __float2bfloat16(function(__bfloat162float(x)));                                    \
    }
GPU_HALF_FUNCTION(hsqrt, std::sqrt)
GPU_HALF_FUNCTION(hcos, std::cos)
GPU_HALF_FUNCTION(hsin, std::sin)
GPU_HALF_FUNCTION(hlog, std::log)
GPU_HALF_FUNCTION(hexp, std::exp)
GPU_HALF_FUNCTION(hceil, std::ceil)
GPU_HALF_FUNCTION(hfloor, std::floor)

#define __CUDA_ARCH__ 800
