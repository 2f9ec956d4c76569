// The threads of a block as fibers of one thread, which switch at barriers only.
#include "gpu_rt.h"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#if !defined(__x86_64__) || !defined(__linux__)
#error "the context switch below is for x86-64 Linux; elsewhere, use gpu_rt_threads.cpp"
#endif

// Saves the callee-saved registers on this stack and switches to the other one.
extern "C" void gpurt_switch(void** save, void* load);
asm(R"(
.text
.globl gpurt_switch
.type gpurt_switch,@function
gpurt_switch:
  endbr64
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size gpurt_switch,.-gpurt_switch
)");

namespace gpurt {
namespace {

enum State : uint8_t { READY, AT_BLOCK_BARRIER, AT_WARP_BARRIER, DONE };

struct Fiber {
    void* stack_pointer;
    State state;
    uint32_t mask;    // mask of the warp barrier at which it waits
    const void* site; // position of the barrier
    Thread thread;
};

struct Slots {
    uint64_t of[2][WARP];
};

constexpr size_t STACK = 64 * 1024;

// Stacks, which are kept as long as the thread lives.
struct Stacks {
    std::vector<char*> all;
    char* at(size_t index) {
        while (all.size() <= index) all.push_back((char*)aligned_alloc(64, STACK));
        return all[index];
    }
    ~Stacks() {
        for (char* stack : all) free(stack);
    }
};

thread_local Stacks t_stacks;
thread_local void* t_scheduler;
thread_local Fiber* t_current;
thread_local Entry t_entry;
thread_local void* t_context;
thread_local Slots* t_slots;
thread_local SharedMemory* t_shared;

void fiber_main() {
    t_entry(t_context);
    t_current->state = DONE;
    gpurt_switch(&t_current->stack_pointer, t_scheduler);
    abort(); // a finished fiber is never resumed
}

void wait_as(State state, uint32_t mask, const void* site) {
    Fiber* fiber = t_current;
    fiber->state = state;
    fiber->mask = mask;
    fiber->site = site;
    gpurt_switch(&fiber->stack_pointer, t_scheduler);
}

void start(Fiber& fiber, unsigned index, const Thread& thread) {
    fiber.state = READY;
    fiber.thread = thread;
    void** top = (void**)(t_stacks.at(index) + STACK);
    *--top = nullptr;            // alignment as after a call
    *--top = (void*)&fiber_main; // return address of the first switch
    for (int saved = 0; saved < 6; saved++) *--top = nullptr;
    fiber.stack_pointer = top;
}

// Releases the warp barriers that all their threads have reached; sets `released` if there are any.
int release_warp(std::vector<Fiber>& fibers, unsigned low, unsigned high, bool& released) {
    for (unsigned i = low; i < high; i++) {
        if (fibers[i].state != AT_WARP_BARRIER) continue;
        const uint32_t mask = fibers[i].mask;
        if (!(mask >> (i - low) & 1))
            return fail(WRONG_MASK, "warp operation: the mask does not contain the calling lane");
        bool complete = true;
        for (unsigned j = low; j < high; j++) {
            if (!(mask >> (j - low) & 1)) continue;
            const Fiber& other = fibers[j];
            if (other.state == DONE)
                return fail(WRONG_MASK, "warp operation: the mask contains a lane that has exited");
            complete &= other.state == AT_WARP_BARRIER && other.mask == mask &&
                        other.site == fibers[i].site;
        }
        if (!complete) continue;
        for (unsigned j = low; j < high; j++)
            if (mask >> (j - low) & 1) fibers[j].state = READY;
        released = true;
    }
    return OK;
}

// Releases the block barrier once no thread can continue.
int release_block(std::vector<Fiber>& fibers, Dim3 bid, unsigned done) {
    unsigned waiting = 0;
    const void* site = nullptr;
    bool same = true;
    for (const Fiber& fiber : fibers) {
        if (fiber.state != AT_BLOCK_BARRIER) continue;
        if (waiting++ == 0) site = fiber.site;
        same &= fiber.site == site;
    }
    if (waiting == fibers.size() && same) {
        for (Fiber& fiber : fibers) fiber.state = READY;
        return OK;
    }
    char message[200];
    snprintf(message, sizeof message,
             "block (%u,%u,%u): %u of %zu threads at a block barrier%s, %u have exited, the rest "
             "wait for their warps",
             bid.x, bid.y, bid.z, waiting, fibers.size(), same ? "" : ", not all at the same one",
             done);
    return fail(DIVERGENT_BARRIER, message);
}

// Orders in which warps and lanes run.
struct Order {
    uint64_t schedule;
    std::vector<unsigned> warps, lanes;
    std::mt19937_64 random;

    Order(uint64_t schedule_, unsigned count) : schedule(schedule_), random(schedule_) {
        for (unsigned i = 0; i < count; i++) warps.push_back(schedule == 1 ? count - 1 - i : i);
        for (unsigned i = 0; i < WARP; i++) lanes.push_back(schedule == 1 ? WARP - 1 - i : i);
    }
    bool runs_ahead() const { return schedule < 2 || schedule % 2 == 1; }
    void shuffle(std::vector<unsigned>& order) {
        if (schedule >= 2) std::shuffle(order.begin(), order.end(), random);
    }
};

int run_block(std::vector<Fiber>& fibers, Order& order, Dim3 bid) {
    const unsigned count = fibers.size();
    unsigned done = 0;
    while (done < count) {
        bool progress = false;
        order.shuffle(order.warps);
        for (unsigned warp : order.warps) {
            const unsigned low = warp * WARP, high = std::min(count, low + WARP);
            bool again = true;
            while (again) {
                order.shuffle(order.lanes);
                for (unsigned lane : order.lanes) {
                    if (low + lane >= high || fibers[low + lane].state != READY) continue;
                    progress = true;
                    t_current = &fibers[low + lane];
                    self = &t_current->thread;
                    gpurt_switch(&t_scheduler, t_current->stack_pointer);
                    done += t_current->state == DONE;
                }
                bool released = false;
                if (int outcome = release_warp(fibers, low, high, released)) return outcome;
                progress |= released;
                again = released && order.runs_ahead();
            }
        }
        if (progress) continue;
        if (int outcome = release_block(fibers, bid, done)) return outcome;
    }
    return OK;
}

} // namespace

void block_barrier(const void* site) { wait_as(AT_BLOCK_BARRIER, 0, site); }
void warp_barrier(uint32_t mask, const void* site) { wait_as(AT_WARP_BARRIER, mask, site); }
uint64_t* warp_slots(unsigned parity) { return t_slots[self->linear / WARP].of[parity]; }
void* shared_memory(const void* site, size_t bytes) { return t_shared->array(site, bytes); }

int launch(Entry entry, void* context, Dim3 grid, Dim3 block, size_t dynamic_shared,
           uint64_t schedule) {
    if (!is_valid_launch(grid, block)) return BAD_LAUNCH;
    const unsigned threads = block.x * block.y * block.z, warps = (threads + WARP - 1) / WARP;
    const uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
    std::vector<Fiber> fibers(threads);
    std::vector<Slots> slots(warps);
    SharedMemory shared(dynamic_shared);
    Order order(schedule, warps);
    t_entry = entry;
    t_context = context;
    t_slots = slots.data();
    t_shared = &shared;
    for (uint64_t number = 0; number < blocks; number++) {
        const Dim3 bid = block_at(schedule == 1 ? blocks - 1 - number : number, grid);
        shared.reset();
        for (unsigned i = 0; i < threads; i++)
            start(fibers[i], i, make_thread(i, bid, block, grid, shared.dynamic()));
        if (int outcome = run_block(fibers, order, bid)) return outcome;
        if (!shared.is_intact())
            return fail(SHARED_OVERRUN, "write past the end of shared memory");
    }
    return OK;
}

} // namespace gpurt
