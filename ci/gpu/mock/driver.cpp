// The part of the CUDA driver that candle 0.11.1 calls through cudarc 0.19, with this CPU as the
// device.
//
// Device memory is memory of the process, filled with NaN at first and with a canary behind every
// buffer. A kernel is looked up by name among those compiled for the CPU. It must also be in the
// PTX from the real compiler, with as many parameters. Pointers must point into live buffers. Every
// call completes before it returns.
//
// CUDAMOCK_SCHEDULE=n sets the order of the threads (see gpu_rt.h). CUDAMOCK_TRACE=1 prints every
// launch.
#include "gpu_rt.h"
#include "registry.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

using Result = int; // CUresult
using Address = unsigned long long;

namespace {

enum : Result {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    INVALID_DEVICE = 101,
    NOT_FOUND = 500,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_FAILED = 719
};

constexpr size_t CANARY = 256;
constexpr unsigned char CANARY_BYTE = 0xA5;
// Shared memory available to a kernel by default.
constexpr size_t SHARED_MEMORY = 48 * 1024;

std::mutex g_mutex;
std::map<Address, size_t> g_buffers; // first address -> size
thread_local std::string t_reason;

Result fail(Result code, const std::string& reason) {
    t_reason = reason;
    return code;
}

// Returns the buffer that contains an address or ends at it, because views may be empty.
std::map<Address, size_t>::iterator buffer_of(Address address) {
    auto it = g_buffers.upper_bound(address);
    if (it == g_buffers.begin()) return g_buffers.end();
    --it;
    return address <= it->first + it->second ? it : g_buffers.end();
}

bool is_intact(Address buffer, size_t size) {
    const auto* canary = reinterpret_cast<const unsigned char*>(buffer) + size;
    for (size_t i = 0; i < CANARY; i++)
        if (canary[i] != CANARY_BYTE) return false;
    return true;
}

struct Module {
    std::string ptx;
};

struct Function {
    std::string name;
    Kernel kernel;
};

uint64_t schedule() {
    static const char* text = getenv("CUDAMOCK_SCHEDULE");
    return text ? strtoull(text, nullptr, 10) : 0;
}

bool traces() {
    static const bool on = getenv("CUDAMOCK_TRACE") != nullptr;
    return on;
}

// Returns the number of a kernel's parameters in PTX text, or -1 if the kernel is missing.
int parameters_in(const std::string& ptx, const std::string& name) {
    const size_t begin = ptx.find(".entry " + name + "(");
    if (begin == std::string::npos) return -1;
    const size_t end = ptx.find('{', begin);
    int count = 0;
    for (size_t at = ptx.find(".param", begin); at < end; at = ptx.find(".param", at + 1)) count++;
    return count;
}

} // namespace

std::unordered_map<std::string, Kernel>& kernels() {
    static std::unordered_map<std::string, Kernel> all;
    return all;
}

extern "C" {

// ---- device, context, stream, event: one of each, without state ----

Result cuInit(unsigned) { return SUCCESS; }
Result cuDeviceGet(int* device, int number) {
    *device = number;
    return number == 0 ? SUCCESS : fail(INVALID_DEVICE, "the mock driver has one device");
}
Result cuDeviceGetCount(int* count) {
    *count = 1;
    return SUCCESS;
}
Result cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
    case 1: *value = 1024; break; // threads of a block
    case 16: *value = 4; break;   // multiprocessors
    case 75: *value = 8; break;   // compute capability, major
    case 76: *value = 0; break;   // and minor
    default: *value = 1;
    }
    return SUCCESS;
}
Result cuDevicePrimaryCtxRetain(void** context, int) {
    static int primary;
    *context = &primary;
    return SUCCESS;
}
Result cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
Result cuCtxDestroy_v2(void*) { return SUCCESS; }
static thread_local void* t_context;
Result cuCtxGetCurrent(void** context) {
    *context = t_context;
    return SUCCESS;
}
Result cuCtxSetCurrent(void* context) {
    t_context = context;
    return SUCCESS;
}
Result cuCtxSynchronize() { return SUCCESS; }
Result cuGetErrorString(Result code, const char** text) {
    static thread_local std::string words;
    words = "mock driver, error " + std::to_string(code) + ": " + t_reason;
    *text = words.c_str();
    return SUCCESS;
}
Result cuGetErrorName(Result, const char** name) {
    *name = "CUDAMOCK";
    return SUCCESS;
}
Result cuStreamCreate(void** stream, unsigned) {
    static int only;
    *stream = &only;
    return SUCCESS;
}
Result cuStreamDestroy_v2(void*) { return SUCCESS; }
Result cuStreamSynchronize(void*) { return SUCCESS; }
Result cuStreamIsCapturing(void*, int* capturing) {
    *capturing = 0;
    return SUCCESS;
}
Result cuStreamWaitEvent(void*, void*, unsigned) { return SUCCESS; }
Result cuEventCreate(void** event, unsigned) {
    *event = malloc(1);
    return SUCCESS;
}
Result cuEventDestroy_v2(void* event) {
    free(event);
    return SUCCESS;
}
Result cuEventRecord(void*, void*) { return SUCCESS; }
Result cuEventSynchronize(void*) { return SUCCESS; }

// ---- memory ----

Result cuMemAlloc_v2(Address* address, size_t size) {
    if (size == 0) return fail(INVALID_VALUE, "allocation of zero bytes");
    auto* memory = static_cast<char*>(aligned_alloc(256, (size + CANARY + 255) / 256 * 256));
    if (!memory) return fail(OUT_OF_MEMORY, "out of memory");
    memset(memory, 0xff, size);
    memset(memory + size, CANARY_BYTE, CANARY);
    *address = reinterpret_cast<Address>(memory);
    std::lock_guard<std::mutex> lock(g_mutex);
    g_buffers[*address] = size;
    return SUCCESS;
}
Result cuMemAllocAsync(Address* address, size_t size, void*) {
    return cuMemAlloc_v2(address, size);
}
Result cuMemFree_v2(Address address) {
    std::lock_guard<std::mutex> lock(g_mutex);
    const auto it = g_buffers.find(address);
    if (it == g_buffers.end())
        return fail(INVALID_VALUE, "free of a pointer that was not allocated");
    if (!is_intact(it->first, it->second)) {
        fprintf(stderr, "mock driver: write past the end of a buffer of %zu bytes\n", it->second);
        abort();
    }
    g_buffers.erase(it);
    free(reinterpret_cast<void*>(address));
    return SUCCESS;
}
Result cuMemFreeAsync(Address address, void*) { return cuMemFree_v2(address); }

static Result copy(void* to, const void* from, size_t size) {
    memmove(to, from, size);
    return SUCCESS;
}
static void* at(Address address) { return reinterpret_cast<void*>(address); }
Result cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t size, void*) {
    return copy(at(to), from, size);
}
Result cuMemcpyDtoHAsync_v2(void* to, Address from, size_t size, void*) {
    return copy(to, at(from), size);
}
Result cuMemcpyDtoDAsync_v2(Address to, Address from, size_t size, void*) {
    return copy(at(to), at(from), size);
}
Result cuMemcpyPeerAsync(Address to, void*, Address from, void*, size_t size, void*) {
    return copy(at(to), at(from), size);
}
Result cuMemsetD8Async(Address to, unsigned char value, size_t size, void*) {
    memset(at(to), value, size);
    return SUCCESS;
}

// ---- modules and launches ----

Result cuModuleLoadData(void** module, const void* image) {
    *module = new Module{static_cast<const char*>(image)};
    return SUCCESS;
}
Result cuModuleLoad(void**, const char*) {
    return fail(NOT_FOUND, "the mock driver loads modules from memory only");
}
Result cuModuleUnload(void* module) {
    delete static_cast<Module*>(module);
    return SUCCESS;
}
Result cuModuleGetFunction(void** function, void* module, const char* name) {
    const int parameters = parameters_in(static_cast<Module*>(module)->ptx, name);
    if (parameters < 0) return fail(NOT_FOUND, std::string("no kernel ") + name + " in the PTX");
    const auto it = kernels().find(name);
    if (it == kernels().end())
        return fail(NOT_FOUND, std::string("kernel not compiled for the CPU: ") + name);
    if (parameters != (int)it->second.parameters)
        return fail(INVALID_VALUE,
                    std::string("PTX and CPU version have different parameters: ") + name);
    *function = new Function{name, it->second};
    return SUCCESS;
}
Result cuLaunchKernel(void* handle, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                      unsigned bz, unsigned shared, void*, void** arguments, void**) {
    const auto& function = *static_cast<Function*>(handle);
    const Kernel& kernel = function.kernel;
    if (traces())
        fprintf(stderr, "%s<<<(%u,%u,%u), (%u,%u,%u), %u>>>\n", function.name.c_str(), gx, gy, gz,
                bx, by, bz, shared);
    if (shared > SHARED_MEMORY)
        return fail(INVALID_VALUE, "too much shared memory: more than 48 KiB");
    for (size_t i = 0; i < kernel.parameters; i++) {
        if (!kernel.is_pointer[i]) continue;
        const Address address = *static_cast<Address*>(arguments[i]);
        std::lock_guard<std::mutex> lock(g_mutex);
        if (address != 0 && buffer_of(address) == g_buffers.end())
            return fail(ILLEGAL_ADDRESS, function.name + ": argument " + std::to_string(i) +
                                             " does not point into a buffer");
    }
    const unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
    if (kernel.run(arguments, grid, block, shared, schedule()))
        return fail(LAUNCH_FAILED, function.name + ": " + gpurt::last_error());
    for (size_t i = 0; i < kernel.parameters; i++) {
        if (!kernel.is_pointer[i]) continue;
        std::lock_guard<std::mutex> lock(g_mutex);
        const auto it = buffer_of(*static_cast<Address*>(arguments[i]));
        if (it != g_buffers.end() && !is_intact(it->first, it->second))
            return fail(ILLEGAL_ADDRESS, function.name + ": write past the end of argument " +
                                             std::to_string(i));
    }
    return SUCCESS;
}

} // extern "C"
