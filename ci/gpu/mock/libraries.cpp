// The parts of cuBLAS and cuRAND that candle calls, for the mock driver. Matrices are column-major.
#include <cstddef>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <random>

using Status = int;

namespace {

enum : Status { SUCCESS = 0, NOT_SUPPORTED = 15 };
// cudaDataType
enum { R_32F = 0, R_64F = 1, R_16F = 2, R_16BF = 14 };

struct Matrix {
    const void* elements;
    int stride;      // between columns
    long long batch; // between matrices
    bool transposed;
};

template <class T, class Sum> Sum load(const Matrix& m, int batch, int row, int column) {
    const long long place = m.transposed ? column + (long long)row * m.stride
                                         : row + (long long)column * m.stride;
    return (Sum)static_cast<const T*>(m.elements)[batch * m.batch + place];
}

template <class T, class Sum>
Status product(int rows, int columns, int length, Sum alpha, Matrix a, Matrix b, Sum beta, void* c,
               int c_stride, long long c_batch, int batch) {
    for (int n = 0; n < batch; n++)
        for (int j = 0; j < columns; j++)
            for (int i = 0; i < rows; i++) {
                Sum sum = 0;
                for (int k = 0; k < length; k++)
                    sum += load<T, Sum>(a, n, i, k) * load<T, Sum>(b, n, k, j);
                T& out = static_cast<T*>(c)[n * c_batch + i + (long long)j * c_stride];
                // With beta = 0, the previous output is ignored even if it is NaN.
                out = (T)(alpha * sum + (beta == 0 ? (Sum)0 : beta * (Sum)out));
            }
    return SUCCESS;
}

struct Generator {
    std::mt19937_64 random;
};

template <class T, class Distribution>
Status write_samples(void* generator, T* out, size_t count, Distribution distribution) {
    for (size_t i = 0; i < count; i++)
        out[i] = distribution(static_cast<Generator*>(generator)->random);
    return SUCCESS;
}

} // namespace

extern "C" {

Status cublasCreate_v2(void** handle) {
    static int only;
    *handle = &only;
    return SUCCESS;
}
Status cublasDestroy_v2(void*) { return SUCCESS; }
Status cublasSetStream_v2(void*, void*) { return SUCCESS; }
Status cublasDgemmStridedBatched(void*, int ta, int tb, int m, int n, int k, const double* alpha,
                                 const double* a, int lda, long long sa, const double* b, int ldb,
                                 long long sb, const double* beta, double* c, int ldc, long long sc,
                                 int batch) {
    return product<double, double>(m, n, k, *alpha, {a, lda, sa, ta != 0}, {b, ldb, sb, tb != 0},
                                   *beta, c, ldc, sc, batch);
}
Status cublasGemmStridedBatchedEx(void*, int ta, int tb, int m, int n, int k, const void* alpha,
                                  const void* a, int at, int lda, long long sa, const void* b,
                                  int bt, int ldb, long long sb, const void* beta, void* c, int ct,
                                  int ldc, long long sc, int batch, int, int) {
    if (at != bt || at != ct) return NOT_SUPPORTED;
    const float x = *static_cast<const float*>(alpha), y = *static_cast<const float*>(beta);
    const Matrix left{a, lda, sa, ta != 0}, right{b, ldb, sb, tb != 0};
    switch (at) {
    case R_32F: return product<float, float>(m, n, k, x, left, right, y, c, ldc, sc, batch);
    case R_16F: return product<__half, float>(m, n, k, x, left, right, y, c, ldc, sc, batch);
    case R_16BF:
        return product<__nv_bfloat16, float>(m, n, k, x, left, right, y, c, ldc, sc, batch);
    default: return NOT_SUPPORTED;
    }
}

Status curandCreateGenerator(void** generator, int) {
    *generator = new Generator;
    return SUCCESS;
}
Status curandDestroyGenerator(void* generator) {
    delete static_cast<Generator*>(generator);
    return SUCCESS;
}
Status curandSetStream(void*, void*) { return SUCCESS; }
Status curandSetPseudoRandomGeneratorSeed(void* generator, unsigned long long seed) {
    static_cast<Generator*>(generator)->random.seed(seed);
    return SUCCESS;
}
Status curandGenerateNormal(void* generator, float* out, size_t count, float mean,
                            float deviation) {
    return write_samples(generator, out, count, std::normal_distribution<float>(mean, deviation));
}
Status curandGenerateNormalDouble(void* generator, double* out, size_t count, double mean,
                                  double deviation) {
    return write_samples(generator, out, count, std::normal_distribution<double>(mean, deviation));
}
Status curandGenerateUniform(void* generator, float* out, size_t count) {
    std::uniform_real_distribution<float> uniform(0, 1);
    return write_samples(generator, out, count, [&](auto& random) { return 1 - uniform(random); });
}
Status curandGenerateUniformDouble(void* generator, double* out, size_t count) {
    std::uniform_real_distribution<double> uniform(0, 1);
    return write_samples(generator, out, count, [&](auto& random) { return 1 - uniform(random); });
}

} // extern "C"
