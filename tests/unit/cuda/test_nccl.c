/* Several emulated cards: their memories are told apart, and NCCL's stand-in sees what would make real cards
 * wait for ever. */
#include "expect_end.h"
#include "mistakes.h"

#include "cuda/emulator/emulator.h"
#include "cuda/nccl.h"
#include "cuda/nccl_api.h"

#include <dlfcn.h>

enum { N = 64, CARDS = 3 };

static struct {
    __typeof__(ncclCommInitAll) *init_all;
    __typeof__(ncclCommDestroy) *destroy;
    __typeof__(ncclGroupStart) *start;
    __typeof__(ncclGroupEnd) *end;
    __typeof__(ncclAllGather) *gather;
} nccl;

/* Each with memory for what all of them send. */
static struct card {
    cudaStream_t stream;
    float *memory;
    ncclComm_t comm;
} card[CARDS];

static void find(void *pointer, const char *name)
{
    void *found = dlsym(dlopen("libnccl.so.2", RTLD_NOW), name);
    assert_non_null(found);
    memcpy(pointer, &found, sizeof found);
}

static void open_cards(void)
{
    static const int device[CARDS] = {0, 1, 2};
    ncclComm_t comm[CARDS];
    find(&nccl.init_all, "ncclCommInitAll");
    find(&nccl.destroy, "ncclCommDestroy");
    find(&nccl.start, "ncclGroupStart");
    find(&nccl.end, "ncclGroupEnd");
    find(&nccl.gather, "ncclAllGather");
    assert_int_equal(nccl.init_all(comm, CARDS, device), ncclSuccess);
    for (int k = 0; k < CARDS; k++) {
        cudaSetDevice(k);
        cudaStreamCreateWithFlags(&card[k].stream, cudaStreamNonBlocking);
        cudaMalloc((void **)&card[k].memory, CARDS * N * sizeof(float));
        card[k].comm = comm[k];
    }
}

static void close_cards(void)
{
    for (int k = 0; k < CARDS; k++) {
        nccl.destroy(card[k].comm);
        cudaStreamDestroy(card[k].stream);
        cudaFree(card[k].memory);
    }
}

/* Rank k's part, as it should be. */
static void gather(int k, size_t count)
{
    nccl.gather(card[k].memory + (size_t)k * count, card[k].memory, count, ncclFloat32, card[k].comm,
                card[k].stream);
}

static void wait_for_all(void)
{
    for (int k = 0; k < CARDS; k++)
        cudaStreamSynchronize(card[k].stream);
}

enum mistake_of_ranks {
    OTHER_COUNT,
    RANK_MISSING,
    TWICE_BY_ONE,
    NO_GROUP,
    OTHERS_STREAM,
    OTHERS_MEMORY,
    MEMORY_TOO_SMALL,
    OVERLAPS,
    AFTER_DESTROY,
    DESTROYED_WAITING,
    DESTROYED_TWICE,
    OTHER_TYPE,
    KERNEL_OTHERS_MEMORY,
    KERNEL_OTHERS_STREAM,
    COPY_OTHERS_MEMORY,
    COPY_BETWEEN_CARDS,
};

static void make_mistake(int which)
{
    open_cards();
    bool group = which != NO_GROUP;
    if (which == AFTER_DESTROY || which == DESTROYED_TWICE)
        nccl.destroy(card[2].comm);
    if (which == DESTROYED_TWICE)
        nccl.destroy(card[2].comm);
    if (group)
        nccl.start();
    gather(0, N);
    gather(1, N);
    float *own = card[2].memory;
    switch ((enum mistake_of_ranks)which) {
    case OTHER_COUNT: gather(2, N - 1); break;
    case RANK_MISSING: break;
    case TWICE_BY_ONE:
        gather(2, N);
        gather(0, N);
        break;
    case OTHERS_STREAM: nccl.gather(own + 2 * N, own, N, ncclFloat32, card[2].comm, card[1].stream); break;
    case OTHERS_MEMORY:
        nccl.gather(own + 2 * N, card[1].memory, N, ncclFloat32, card[2].comm, card[2].stream);
        break;
    case MEMORY_TOO_SMALL: nccl.gather(own, own + 1, N, ncclFloat32, card[2].comm, card[2].stream); break;
    case OVERLAPS: nccl.gather(own + N, own, N, ncclFloat32, card[2].comm, card[2].stream); break;
    case OTHER_TYPE: nccl.gather(own + 2 * N, own, N, (ncclDataType_t)0, card[2].comm, card[2].stream); break;
    default: gather(2, N);
    }
    nccl.end();
    if (which == DESTROYED_WAITING)
        nccl.destroy(card[0].comm);
    cudaSetDevice(which == KERNEL_OTHERS_STREAM ? 1 : 0);
    if (which == KERNEL_OTHERS_MEMORY)
        start_mistake(card[0].stream, BEHAVES, card[1].memory);
    if (which == KERNEL_OTHERS_STREAM)
        start_mistake(card[0].stream, BEHAVES, card[0].memory);
    if (which == COPY_OTHERS_MEMORY)
        cudaMemcpyAsync(card[1].memory, &which, sizeof which, cudaMemcpyHostToDevice, card[0].stream);
    if (which == COPY_BETWEEN_CARDS)
        cudaMemcpy2DAsync(card[0].memory, 4, card[1].memory, 4, 4, 1, cudaMemcpyDeviceToDevice,
                          card[0].stream);
}

static void sees_mistakes(void **state)
{
    (void)state;
    static const char *const says[] = {
        [OTHER_COUNT] = "rank 2 sends 252 bytes, rank 0 256",
        [RANK_MISSING] = "rank 2 takes no part in a collective",
        [TWICE_BY_ONE] = "rank 1 takes no part in a collective",
        [NO_GROUP] = "outside of a group",
        [OTHERS_STREAM] = "rank 2 is device 2, its stream is of device 1",
        [OTHERS_MEMORY] = "what is received lies on device 1, not on 2",
        [MEMORY_TOO_SMALL] = "what is received, 768 bytes",
        [OVERLAPS] = "what is sent overlaps what is received",
        [AFTER_DESTROY] = "is not a communicator",
        [DESTROYED_WAITING] = "a collective of rank 0 has not run",
        [DESTROYED_TWICE] = "is not a communicator",
        [OTHER_TYPE] = "type 0, which is not emulated",
        [KERNEL_OTHERS_MEMORY] = "on device 0 is given memory of device 1",
        [KERNEL_OTHERS_STREAM] = "its stream is device 0's, the current one is 1",
        [COPY_OTHERS_MEMORY] = "in device 0's stream takes memory of device 1",
        [COPY_BETWEEN_CARDS] = "in device 0's stream takes memory of device 1",
    };
    for (int which = OTHER_COUNT; which <= COPY_BETWEEN_CARDS; which++)
        assert_ends(make_mistake, which, says[which]);
}

/* Whichever stream is waited for, twice in a row, in place and not. */
static void gathers(void **state)
{
    (void)state;
    for (int first = 0; first < CARDS; first++) {
        open_cards();
        for (int turn = 0; turn < 2; turn++) {
            float part[N];
            for (int k = 0; k < CARDS; k++) {
                for (int i = 0; i < N; i++)
                    part[i] = (float)(1000 * turn + 100 * k + i);
                cudaMemcpyAsync(card[k].memory + k * N, part, sizeof part, cudaMemcpyHostToDevice,
                                card[k].stream);
            }
            nccl.start();
            for (int k = CARDS - 1; k >= 0; k--)
                gather(k, N);
            assert_int_equal(nccl.end(), ncclSuccess);
        }
        cudaStreamSynchronize(card[first].stream);
        wait_for_all();
        for (int k = 0; k < CARDS; k++) {
            float all[CARDS * N];
            cudaMemcpyAsync(all, card[k].memory, sizeof all, cudaMemcpyDeviceToHost, card[k].stream);
            for (int i = 0; i < CARDS * N; i++)
                assert_true(all[i] == (float)(1000 + 100 * (i / N) + i % N));
        }
        close_cards();
    }
}

/* Memory belongs to one card, and so does what is left of it. */
static void tells_memories_apart(void **state)
{
    (void)state;
    size_t before[2], after[2], all;
    void *memory;
    for (int k = 0; k < 2; k++) {
        cudaSetDevice(k);
        cudaMemGetInfo(&before[k], &all);
    }
    assert_int_equal(cudaMalloc(&memory, 1000), cudaSuccess); /* of device 1 */
    for (int k = 0; k < 2; k++) {
        cudaSetDevice(k);
        cudaMemGetInfo(&after[k], &all);
    }
    assert_int_equal(after[0], before[0]);
    assert_int_equal(after[1], before[1] - 1000);
    cudaFree(memory);
}

int main(void)
{
    setenv("VARGPT_EMULATED_DEVICES", "3", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sees_mistakes),
        cmocka_unit_test(gathers),
        cmocka_unit_test(tells_memories_apart),
    };
    emulator_guard_memory(); /* what ranks gather is ordered for all of them */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
