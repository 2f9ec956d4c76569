// Runs GPU kernels on the CPU: one block at a time, with all threads of the block interleaved.
//
// There are two implementations. `gpu_rt_fibers.cpp` switches between the threads of a block at
// barriers only, in an order that the caller chooses, and detects barriers that not all threads
// reach. `gpu_rt_threads.cpp` uses threads of the operating system, for the thread sanitizer.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

namespace gpurt {

struct Dim3 {
    unsigned x, y, z;
    constexpr Dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

// Threads of a warp (CUDA) or a SIMD group (Metal).
constexpr unsigned WARP = 32;

// Result of launch(). last_error() returns the message.
enum Outcome { OK = 0, DIVERGENT_BARRIER = 1, WRONG_MASK = 2, BAD_LAUNCH = 3, SHARED_OVERRUN = 4 };

// A thread of a kernel.
struct Thread {
    Dim3 tid, bid, bdim, gdim;
    unsigned linear;      // index within the block
    void* dynamic_shared; // shared memory of the size that the launch sets
    unsigned exchanges;   // so far; the parity selects the next buffer
};
extern thread_local Thread* self;

// Waits for all threads of the block. `site` identifies the barrier's position in the source.
void block_barrier(const void* site);
// Waits for the threads of the warp that are in `mask`.
void warp_barrier(uint32_t mask, const void* site);
// Returns 32 slots of 8 bytes for values that the threads of a warp exchange.
uint64_t* warp_slots(unsigned parity);
// Returns shared memory of the block, the same for all calls with one `site`. It contains NaN at
// first and has a canary behind it.
void* shared_memory(const void* site, size_t bytes);

using Entry = void (*)(void*);

// Runs `entry(context)` for every thread of the grid.
//
// Schedule 0 runs the warps in ascending order, each as far as it can. Schedule 1 does the same in
// descending order, also for blocks. Odd schedules from 3 on use random orders, redrawn between
// barriers. Even schedules from 2 on keep all warps in step, in a random order.
int launch(Entry entry, void* context, Dim3 grid, Dim3 block, size_t dynamic_shared,
           uint64_t schedule);
// Returns the message of this thread's last failed launch.
const char* last_error();

// Returns the value from thread `source` of the warp.
template <class T> inline T exchange(uint32_t mask, T value, unsigned source, const void* site) {
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value, "must fit into one slot");
    Thread* thread = self;
    uint64_t* slots = warp_slots(thread->exchanges++ & 1);
    std::memcpy(&slots[thread->linear % WARP], &value, sizeof(T));
    warp_barrier(mask, site);
    T result;
    std::memcpy(&result, &slots[source % WARP], sizeof(T));
    return result;
}

// A kernel and pointers to its arguments, in the form of a driver's launch function.
template <class... A> struct Call {
    void (*kernel)(A...);
    void** arguments;
};
template <class... A, size_t... I>
inline void call_with(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*reinterpret_cast<std::remove_reference_t<A>*>(arguments[I])...);
}
template <class... A> inline void call_entry(void* context) {
    auto* call = static_cast<Call<A...>*>(context);
    call_with(call->kernel, call->arguments, std::index_sequence_for<A...>{});
}
template <class... A>
inline int launch_kernel(void (*kernel)(A...), void** arguments, const unsigned* grid,
                         const unsigned* block, size_t dynamic_shared, uint64_t schedule) {
    Call<A...> call{kernel, arguments};
    return launch(&call_entry<A...>, &call, Dim3(grid[0], grid[1], grid[2]),
                  Dim3(block[0], block[1], block[2]), dynamic_shared, schedule);
}

// ---- for the two implementations ----

Thread make_thread(unsigned index, Dim3 bid, Dim3 block, Dim3 grid, void* dynamic_shared);
// Tests whether a GPU accepts these sizes; sets the error if not.
bool is_valid_launch(Dim3 grid, Dim3 block);
int fail(Outcome outcome, const char* message);
// Returns block number `index` of the grid.
Dim3 block_at(uint64_t index, Dim3 grid);

// Shared memory of one block.
class SharedMemory {
  public:
    explicit SharedMemory(size_t dynamic);
    ~SharedMemory();
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;
    void* dynamic();
    // Returns the array of this site.
    void* array(const void* site, size_t bytes);
    // Restores the initial state for the next block.
    void reset();
    // Tests whether all canaries are unchanged.
    bool is_intact() const;

  private:
    struct Arrays;
    Arrays* arrays;
};

} // namespace gpurt
