// Runs GPU kernels on the CPU: one block at a time, every thread of the block in turn.
//
// Two implementations: `gpu_rt_fibers.cpp` switches between the threads of a block at barriers
// only, in an order that the caller chooses, and finds barriers that not all threads reach;
// `gpu_rt_threads.cpp` makes them threads of the operating system, for the thread sanitizer.
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

// What launch() returns. last_error() has the words.
enum Outcome { OK = 0, DIVERGENT_BARRIER = 1, WRONG_MASK = 2, BAD_LAUNCH = 3, SHARED_OVERRUN = 4 };

// One thread of a kernel.
struct Thread {
    Dim3 tid, bid, bdim, gdim;
    unsigned linear;      // its number within the block
    void* dynamic_shared; // shared memory whose size the launch states
    unsigned exchanges;   // so far; the parity chooses the buffer of the next
};
extern thread_local Thread* self;

// Waits for all threads of the block. `site` tells barriers in different places apart.
void block_barrier(const void* site);
// Waits for the threads of the warp that `mask` names.
void warp_barrier(uint32_t mask, const void* site);
// 32 slots of 8 bytes for values that the threads of a warp exchange.
uint64_t* warp_slots(unsigned parity);
// Shared memory of the block, the same for all who ask with one `site`: NaN at first, and with a
// canary behind it.
void* shared_memory(const void* site, size_t bytes);

using Entry = void (*)(void*);

// Runs `entry(context)` for every thread of the grid.
//
// Schedule 0 takes the warps in ascending order and lets each run ahead as far as it can; 1 does
// the same in descending order, blocks too; odd numbers from 3 on in a random order, drawn anew
// between barriers; even numbers from 2 on keep all warps in step, in a random order.
int launch(Entry entry, void* context, Dim3 grid, Dim3 block, size_t dynamic_shared,
           uint64_t schedule);
// Why the last launch of this thread failed.
const char* last_error();

// The value that the thread `source` of the warp has given.
template <class T> inline T exchange(uint32_t mask, T value, unsigned source, const void* site) {
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value, "one slot");
    Thread* thread = self;
    uint64_t* slots = warp_slots(thread->exchanges++ & 1);
    std::memcpy(&slots[thread->linear % WARP], &value, sizeof(T));
    warp_barrier(mask, site);
    T result;
    std::memcpy(&result, &slots[source % WARP], sizeof(T));
    return result;
}

// A kernel and pointers to its arguments, as a driver's launch function takes them.
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
// Whether a GPU would take these sizes; if not, the error is set.
bool is_valid_launch(Dim3 grid, Dim3 block);
int fail(Outcome outcome, const char* words);
// Block number `index` of the grid.
Dim3 block_at(uint64_t index, Dim3 grid);

// Shared memory of one block.
class SharedMemory {
  public:
    explicit SharedMemory(size_t dynamic);
    ~SharedMemory();
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;
    void* dynamic();
    // The array of this site.
    void* array(const void* site, size_t bytes);
    // As new, for the next block.
    void reset();
    // Whether nobody wrote past the end of an array.
    bool is_intact() const;

  private:
    struct Arrays;
    Arrays* arrays;
};

} // namespace gpurt
