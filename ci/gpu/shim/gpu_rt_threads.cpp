// The threads of a block as threads of the operating system, for the thread sanitizer, which
// reports pairs of accesses that no barrier orders. Warp operations must use the mask of the whole
// warp here.
#include "gpu_rt.h"
#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace gpurt {
namespace {

class Barrier {
  public:
    explicit Barrier(unsigned count_) : count(count_) {}
    void wait() {
        std::unique_lock<std::mutex> lock(mutex);
        const unsigned now = generation;
        if (++arrived == count) {
            arrived = 0;
            generation++;
            all.notify_all();
        } else {
            all.wait(lock, [&] { return generation != now; });
        }
    }

  private:
    std::mutex mutex;
    std::condition_variable all;
    unsigned count, arrived = 0, generation = 0;
};

// State shared by the threads of the running block.
struct Block {
    Barrier barrier;
    std::vector<Barrier*> warps;
    std::vector<uint64_t> slots;
    SharedMemory shared;
    std::mutex shared_mutex;

    Block(unsigned threads, size_t dynamic_shared)
        : barrier(threads), slots((threads + WARP - 1) / WARP * 2 * WARP), shared(dynamic_shared) {
        for (unsigned low = 0; low < threads; low += WARP)
            warps.push_back(new Barrier(std::min(WARP, threads - low)));
    }
    ~Block() {
        for (Barrier* warp : warps) delete warp;
    }
};

Block* g_block;
std::mutex g_launch;

} // namespace

void block_barrier(const void*) { g_block->barrier.wait(); }
void warp_barrier(uint32_t, const void*) { g_block->warps[self->linear / WARP]->wait(); }
uint64_t* warp_slots(unsigned parity) {
    return &g_block->slots[(self->linear / WARP * 2 + parity) * WARP];
}
void* shared_memory(const void* site, size_t bytes) {
    std::lock_guard<std::mutex> lock(g_block->shared_mutex);
    return g_block->shared.array(site, bytes);
}

int launch(Entry entry, void* context, Dim3 grid, Dim3 block, size_t dynamic_shared, uint64_t) {
    std::lock_guard<std::mutex> lock(g_launch);
    if (!is_valid_launch(grid, block)) return BAD_LAUNCH;
    const unsigned threads = block.x * block.y * block.z;
    for (uint64_t number = 0; number < (uint64_t)grid.x * grid.y * grid.z; number++) {
        Block running(threads, dynamic_shared);
        g_block = &running;
        // Called once, because threads that request arrays may move the list that contains this
        // one.
        void* dynamic = running.shared.dynamic();
        std::vector<std::thread> all;
        for (unsigned i = 0; i < threads; i++)
            all.emplace_back([&, i] {
                Thread thread = make_thread(i, block_at(number, grid), block, grid, dynamic);
                self = &thread;
                entry(context);
            });
        for (std::thread& thread : all) thread.join();
        if (!running.shared.is_intact())
            return fail(SHARED_OVERRUN, "write past the end of shared memory");
    }
    return OK;
}

} // namespace gpurt
